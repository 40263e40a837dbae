#!/usr/bin/env python3
"""Makes the text of `mintfs help COMMAND` from the man page, so that there is only one text.

usage: help_text.py MINTFS.1.SCD HELP_TEXT.H

Each "## NAME" below "# COMMANDS" becomes a row. Its first paragraph, the synopsis, is left out,
since the table of commands has it (tests/test_help.py compares the two).
"""

import re
import sys


def sections(text):
    """The commands' texts, by name, without markup."""
    commands = text.split("\n# COMMANDS\n", 1)[1].split("\n# ", 1)[0]
    for part in commands.split("\n## ")[1:]:
        name, _, body = part.partition("\n")
        yield name.strip(), plain(body.strip().partition("\n\n")[2])


def plain(text):
    """The text without scdoc(5) markup; indented parts are indented by four columns."""
    text = re.sub(r"^;.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<!\\)\*", "", text)
    return re.sub(r"\\(.)", r"\1", text).replace("\t", "    ").rstrip("\n") + "\n"


def quoted(text):
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(f'     "{line}\\n"' for line in text.splitlines())


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        rows = dict(sections(file.read()))
    with open(target, "w", encoding="utf-8") as file:
        file.write("/* Made by tools/man/help_text.py. */\n")
        file.write("static const struct {\n    const char *command;\n    const char *text;\n")
        file.write("} help_texts[] = {\n")
        for name, text in rows.items():
            file.write(f'    {{"{name}",\n{quoted(text)}}},\n')
        file.write("};\n")


if __name__ == "__main__":
    main()
