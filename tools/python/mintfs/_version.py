"""The version, the same as that of the command: meson.build has the other."""

VERSION = "0.1.0"
