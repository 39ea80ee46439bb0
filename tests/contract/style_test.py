#!/usr/bin/env python3
"""Rules of the house that no compiler checks: a stranger finds the way into each folder with
sources, and no code is kept as a comment. Usage: style_test.py ROOT"""

import pathlib
import re
import subprocess
import sys

SOURCES = (".cc", ".h", ".c", ".cjs", ".java", ".pml", ".py", ".scenario", ".sh", ".sql")
# What a README puts between backticks, or links to: a folder's name, perhaps with a <placeholder>,
# or with the files in it (`folder/*.sql`).
NAME = re.compile(r"[`(\[]([\w.<>/-]+?)(?:/(?:README\.md|\*[.\w]*)?)?[`)\]]")
# A statement or the head of a block, right behind the slashes: examples in a comment are indented,
# and prose ends in other ways.
CODE = re.compile(
    r"^\s*// {0,3}(?:#\s*(?:include|if|ifdef|ifndef|define|else|endif)\b"
    r"|(?:if|for|while|switch) \(.*[{;]$"
    r"|(?:return|break|continue|delete|throw|using|namespace|template)\b[^.,]*[;{]$"
    r"|(?:[\w:<>*&]+ )?[\w:.>-]+\(.*\);$"
    r"|(?:const )?[\w:.<>*&>-]+(?: [\w:]+)? [-+*/|&]?= .*;$"
    r"|\} else\b.*|\}[;,]?$)")


def paths(root):
    """All files that git knows or would add."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "--cached", "--others",
                             "--exclude-standard"], text=True, check=True, capture_output=True)
    found = [pathlib.PurePosixPath(line) for line in listed.stdout.splitlines()]
    return [path for path in found if (root / path).is_file()]


def folders_without_introduction(root, files):
    """A README of its own, or the one nearest above names it, or a folder between the two."""
    introduced = {path.parent for path in files if path.name == "README.md"}
    for folder in sorted({path.parent for path in files if path.suffix in SOURCES} - introduced):
        above = next(parent for parent in folder.parents if parent in introduced)
        names = set(NAME.findall((root / above / "README.md").read_text()))
        named = re.compile("|".join(re.sub("<[^>]*>", "[^/]+", name.replace(".", "[.]"))
                                    for name in names))
        between = [folder, *folder.parents][:len(folder.parts) - len(above.parts)]
        if not any(named.fullmatch(str(path.relative_to(above))) for path in between):
            yield f"{folder}/ has no README.md, and {above}/README.md does not name it"


def code_in_comments(root, files):
    for path in files:
        if path.suffix not in (".cc", ".h", ".c"):
            continue
        for number, line in enumerate((root / path).read_text().splitlines(), 1):
            if CODE.match(line):
                yield f"{path}:{number}: code as a comment: {line.strip()}"


def main():
    for code in ("// return value;", "  // call(a, b);", "//int a = 1;", "// if (a) {", "// }",
                 "// store_->put(key, value);", "// #include <map>", "// std::string text(a);",
                 "// a.b = c;", "// } else {"):
        assert CODE.match(code), f"the test does not see that this is code: {code}"
    root = pathlib.Path(sys.argv[1])
    files = paths(root)
    wrong = [*folders_without_introduction(root, files), *code_in_comments(root, files)]
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
