#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""`make install` into an empty folder: what is there, and that others' tools find nothing wrong with it."""
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT = 300
# Path, and the mode that it has.
FILES = {
    "usr/bin/loam": 0o755, "usr/sbin/loamd": 0o755, "usr/sbin/loam-worker": 0o755, "usr/sbin/loam-switch": 0o755,
    "usr/sbin/loam-fetch": 0o755,
    "boot/loam.mb2": 0o644, "usr/lib/loam/loam.efi": 0o644, "usr/lib/systemd/system/loamd.service": 0o644,
    "usr/lib/systemd/system/loam-vms.service": 0o644, "usr/lib/sysusers.d/loam.conf": 0o644,
    "usr/share/man/man1/loam.1": 0o644, "usr/share/man/man8/loamd.8": 0o644,
    "usr/share/man/man8/loam-fetch.8": 0o644,
    "usr/share/bash-completion/completions/loam": 0o644,
}


class Skip(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, **options)
    return done.returncode, done.stdout


def files_are_there(root):
    status, output = run("make", "-s", "install", f"DESTDIR={root}", "PREFIX=/usr", cwd=TOP)
    expect(status == 0, output)
    for path, mode in FILES.items():
        found = stat.S_IMODE(os.stat(os.path.join(root, path)).st_mode)
        expect(found == mode, f"{path}: mode {found:o}")
    found = {os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names}
    others = [path for path in found - set(FILES) if not re.fullmatch(r"usr/src/mshv-loam-[\d.]+/.+", path)]
    expect(others == [], f"also installed: {others}")
    expect(any(path.endswith("dkms.conf") for path in found), "no source for DKMS")


def installed_programs_run(root):
    for program in ("bin/loam", "sbin/loamd", "sbin/loam-worker", "sbin/loam-switch", "sbin/loam-fetch"):
        status, output = run(os.path.join(root, "usr", program), "--help")
        expect(status == 0 and "Usage: " in output, output)


def driver_builds_from_the_installed_source(root):
    folder = os.path.join(root, "usr/src", os.listdir(os.path.join(root, "usr/src"))[0])
    with open(os.path.join(folder, "dkms.conf"), encoding="ascii") as stream:
        version = re.search(r'^PACKAGE_VERSION="(.*)"$', stream.read(), re.M).group(1)
    expect(folder.endswith(f"mshv-loam-{version}"), folder)
    with open(os.path.join(folder, "Makefile"), encoding="ascii") as stream:
        objects = re.findall(r"\b(\w+)\.o\b", stream.read())
    lacking = [name for name in objects if name != "mshv_loam" and not os.path.exists(os.path.join(folder, f"{name}.c"))]
    expect(lacking == [], f"sources are missing: {lacking}")


def units_are_sound(root):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    folder = os.path.join(root, "usr/lib/systemd/system")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="ascii") as stream:
            text = stream.read()
        expect("@" not in text and "/usr/sbin/loamd" in text, text)
        # Its programs are looked for where they have just been put.
        with open(os.path.join(folder, name), "w", encoding="ascii") as stream:
            stream.write(text.replace("/usr/sbin/", f"{root}/usr/sbin/"))
    status, output = run("systemd-analyze", "verify", "--man=no", *[os.path.join(folder, name)
                                                                    for name in os.listdir(folder)])
    expect(status == 0 and "loam" not in output, output)


def manual_pages_are_sound(root):
    if not shutil.which("man"):
        raise Skip("no man")
    for page in ("man1/loam.1", "man8/loamd.8", "man8/loam-fetch.8"):
        status, output = run("man", "--warnings", "-l", os.path.join(root, "usr/share/man", page),
                             env={**os.environ, "MANPAGER": "cat"})
        expect(status == 0 and "warning" not in output, output)
        expect("NAME" in output and "EXIT" in output, output)


def manual_page_names_every_verb(root):
    with open(os.path.join(root, "usr/share/man/man1/loam.1"), encoding="utf-8") as stream:
        page = stream.read()
    _, program = run(os.path.join(root, "usr/bin/loam"), "--help")
    verbs = re.findall(r"^  loam (\w+ \w+)", program, re.M)
    expect(len(verbs) > 20, program)
    lacking = [verb for verb in verbs if f".It Cm {verb}" not in page]
    expect(lacking == [], f"not in loam(1): {lacking}")


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        for function in (files_are_there, installed_programs_run, driver_builds_from_the_installed_source,
                         manual_pages_are_sound, manual_page_names_every_verb, units_are_sound):
            try:
                function(root)
                print(f"PASS {function.__name__}", flush=True)
            except Skip as reason:
                print(f"SKIP {function.__name__}: {reason}", flush=True)
            except Exception as problem:  # the next one runs all the same
                failed += 1
                print(f"FAIL {function.__name__}: {problem}", flush=True)
    return 1 if failed else 0


sys.exit(main())
