#!/usr/bin/env python3
"""What the documents quote exists: every message of docs/troubleshooting.md stands in the sources,
every command with its options in the program, every topic without an event struct in the list of
schemas/golden/README.md, every reason of a dead letter in docs/formats.md and in `voketag dlq`,
every package of dev.d/setup.sh in docs/dependencies.md, every table of bench/scaling_model.py in
docs/scaling.md.
Usage: documents_test.py ROOT VOKETAG_BINARY"""

import pathlib
import re
import subprocess
import sys

SOURCES = ("state", "processors", "runtime", "connectors", "voketag", "events")
OTHERS_COMMANDS = ("./dev", "kafka-", "psql ")
# How the sources say why a record becomes a dead letter.
REASON = re.compile(r'(?:context\.dead_letter\(|refuse\(\s*record, |Complaint\{|'
                    r'make_dead_letter\([^;"]*)"([a-z_]+)"')
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def without_comments(code):
    """The code without lines that are comments alone, so that literals around them are joined."""
    return "\n".join(line for line in code.split("\n") if not line.lstrip().startswith("//"))


def texts_of(root, folders=SOURCES):
    """Every text of the sources; literals that the compiler joins are joined."""
    texts = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.cc")) + sorted((root / folder).rglob("*.h")):
            code = without_comments(path.read_text())
            end_of_last = None
            for match in LITERAL.finditer(code):
                joined = end_of_last is not None and not code[end_of_last:match.start()].strip()
                text = match.group(1).replace('\\"', '"').replace("\\n", "\n")
                if joined:
                    texts[-1] += text
                else:
                    texts.append(text)
                end_of_last = match.end()
    return texts


def quoted(document):
    """What stands between backticks in a line; a code block is no quotation."""
    prose = re.sub(r"^```.*?^```", "", document, flags=re.S | re.M)
    return re.findall(r"`([^`\n]+)`", prose)


def missing_parts(message, texts):
    """The parts of a message, between what is filled in, that no source has."""
    parts = [part.strip() for part in message.split("...")]
    return [part for part in parts if part and not any(part in text for text in texts)]


def run_help(binary, *verbs):
    return subprocess.run([binary, *verbs, "--help"], text=True, check=True, capture_output=True,
                          timeout=60).stdout


def usage(helped):
    return re.search(r"^Usage: .*$", helped, flags=re.M).group(0)


def check_command(binary, command):
    """What is wrong with a command that a document names; none: nothing."""
    words = command.split()
    verbs = []
    helped = run_help(binary)
    # Words that are no commands of their own are values: the usage line then lacks them.
    for word in words[1:]:
        if not re.fullmatch(r"[a-z]+", word) or "COMMAND" not in usage(helped):
            break
        verbs.append(word)
        helped = run_help(binary, *verbs)
        if f"voketag {' '.join(verbs)}" not in usage(helped):
            return f"`{command}`: there is no such command"
    unknown = [word for word in words if word.startswith("--") and word not in helped]
    return f"`{command}`: there is no {', '.join(unknown)}" if unknown else None


def check_messages(root, texts):
    quotations = [text for text in quoted((root / "docs/troubleshooting.md").read_text())
                  if (" " in text or "..." in text)
                  and not text.startswith(("voketag ", *OTHERS_COMMANDS))]
    assert len(quotations) > 10, "the quotations were not found"
    return [f"docs/troubleshooting.md quotes `{quotation}`; no source says '{part}'"
            for quotation in quotations for part in missing_parts(quotation, texts)]


def check_commands(root, binary):
    """Commands that documents quote, and those that the command line names in its own messages."""
    texts = texts_of(root)
    documents = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    commands = {text for path in documents for text in quoted(path.read_text())
                if re.match(r"voketag [a-z]", text)}
    commands |= {found for text in texts for found in quoted(text)
                 if re.match(r"voketag [a-z]", found)}
    assert len(commands) > 5, "the commands were not found"
    return [wrong for wrong in (check_command(binary, text) for text in sorted(commands)) if wrong]


def check_golden_readme(root):
    described = {path.name.removesuffix(".schema.json")
                 for path in (root / "schemas").glob("*.schema.json")}
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', (root / "events/topics.cc").read_text()))
    without = named - described - {"dead-letters"}
    assert without, "the catalogue was not found"
    section = (root / "schemas/golden/README.md").read_text().split("## Not here yet")[-1]
    listed = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", section))
    if listed == without:
        return []
    return [f"schemas/golden/README.md, Not here yet: missing {sorted(without - listed)}, "
            f"too many {sorted(listed - without)}"]


def check_reasons(root):
    """Programs act on these words, so that one more is a change of the contract."""
    said = {match for folder in ("processors", "runtime")
            for path in sorted((root / folder).rglob("*.[ch]*"))
            for match in REASON.findall(path.read_text())}
    assert len(said) > 10, "the reasons were not found"
    # A projection's error gives its code.
    said |= {"invalid", "internal"}
    table = (root / "docs/formats.md").read_text().split("| reason | said of |")[1].split("\n\n")[0]
    documented = {word for line in table.splitlines() if line.startswith("| `")
                  for word in re.findall(r"`([a-z_]+)`", line.split("|")[1])}
    code = (root / "voketag/dead_letters.cc").read_text()
    known = set(re.findall(r'"([a-z_]+)"', code.split("kReasons = {")[1].split("}")[0]))
    return [f"reasons of dead letters: {name} lacks {sorted(said - words)}, has too many: "
            f"{sorted(words - said)}"
            for name, words in (("docs/formats.md", documented), ("voketag/dead_letters.cc", known))
            if words != said]


def check_packages(root):
    listed = (root / "dev.d/setup.sh").read_text().split("packages=(")[1].split("\n)")[0]
    installed = {entry.split("=")[0] for entry in listed.split()} | {"postgresql"}
    assert len(installed) > 20, "the packages were not found"
    tables = (root / "docs/dependencies.md").read_text()
    return [f"docs/dependencies.md does not say why `{package}` is installed"
            for package in sorted(installed) if f"`{package}`" not in tables]


def check_scaling(root):
    document = (root / "docs/scaling.md").read_text().split("\n")
    tables = subprocess.run([sys.executable, root / "bench/scaling_model.py"], text=True,
                            check=True, capture_output=True, timeout=60).stdout
    return [f"docs/scaling.md lacks what bench/scaling_model.py prints: {line}"
            for line in tables.split("\n") if line not in document]


def main():
    root, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
    texts = texts_of(root)
    wrong = check_messages(root, texts) + check_commands(root, binary)
    wrong += check_golden_readme(root) + check_reasons(root) + check_packages(root)
    wrong += check_scaling(root)
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
