#include "tests/unit/support.h"

#include <string.h>

#include "fs/store/placeholder.h"

static const struct placeholders places = {.out = "/o.db", .dir = "/d"};

static void test_placeholders_are_filled_in_and_variables_are_left(void **state UNUSED)
{
    static const struct {
        const char *argument;
        const char *filled;
        bool has_out;
    } cases[] = {
        {"", "", false},
        {"{out}", "/o.db", true},
        {"{dir}", "/d", false},
        {"sqlite:///{out}?x={dir}/y", "sqlite:////o.db?x=/d/y", true},
        {"--db={out}", "--db=/o.db", true},
        {"{out}{out}{dir}", "/o.db/o.db/d", true},
        {"[ {out} = x ]", "[ /o.db = x ]", true},
        {"'{out}' == x", "'/o.db' == x", true},
        {"{ out }{Out}{out", "{ out }{Out}{out", false},
        /* A variable of a shell, of Ruby, of JavaScript. */
        {"sqlite3 \"${out}\"", "sqlite3 \"${out}\"", false},
        {"puts \"#{out}#{dir}\"", "puts \"#{out}#{dir}\"", false},
        {"const {out}={out:1}", "const {out}={out:1}", false},
        {"let\t{dir}=1", "let\t{dir}=1", false},
        {"${out} {out}", "${out} /o.db", true},
        /* Before an equals sign, but not a declaration. */
        {"{out}=x", "/o.db=x", true},
        {"-ffile-prefix-map={dir}=.", "-ffile-prefix-map=/d=.", false},
        {"{dir}{out}=x", "/d/o.db=x", true},
        {"$ {out}", "$ /o.db", true},
        /* The escape. */
        {"{{out}}", "{out}", false},
        {"f({{out}}, {out})", "f({out}, /o.db)", true},
        {"{{dir}}{{out}}", "{dir}{out}", false},
        {"{{{out}}}", "{{out}}", false},
        {"${{out}}", "${out}", false},
        {"{{out}", "{/o.db", true},
        {"{out}}", "/o.db}", true},
        {"{{x}}", "{{x}}", false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool has_out = false;
        AUTO_FREE char *filled = placeholders_fill(&places, cases[i].argument, &has_out);
        assert_string_equal(filled, cases[i].filled);
        assert_int_equal(has_out, cases[i].has_out);
    }
}

static void test_has_out_is_never_cleared(void **state UNUSED)
{
    bool has_out = true;
    AUTO_FREE char *filled = placeholders_fill(&places, "{dir}", &has_out);
    assert_string_equal(filled, "/d");
    assert_true(has_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placeholders_are_filled_in_and_variables_are_left),
        cmocka_unit_test(test_has_out_is_never_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
