"""The choice of a Java, among shell scripts that claim to be one."""

import sys
from pathlib import Path

import pytest

from callweave.broker.jars import BrokerUnavailable
from callweave.broker.java import find_java, java_major


def a_java(folder: Path, version: str, *, status: int = 0) -> Path:
    """A launcher that answers `-version` as Java does, on standard error; returns its JAVA_HOME."""
    launcher = folder / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\nexit {status}\n")
    launcher.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("said", "major"),
    [("17.0.15", 17), ("21", 21), ("1.8.0_402", 8), ("25-ea", 25), ("11.0.2", 11)],
)
def test_the_version_is_what_java_itself_says(tmp_path: Path, said: str, major: int):
    assert java_major(a_java(tmp_path / "jdk", said) / "bin" / "java") == major


def test_java_home_goes_before_the_path(tmp_path: Path):
    home, on_path = a_java(tmp_path / "home", "21.0.1"), a_java(tmp_path / "path", "17.0.1")
    java = find_java({"JAVA_HOME": str(home), "PATH": str(on_path / "bin")})
    assert (java.executable, java.major) == (home / "bin" / "java", 21)


def test_a_java_home_that_is_too_old_is_passed_over(tmp_path: Path):
    home, on_path = a_java(tmp_path / "home", "1.8.0_402"), a_java(tmp_path / "path", "17.0.1")
    java = find_java({"JAVA_HOME": str(home), "PATH": str(on_path / "bin")})
    assert java.executable == on_path / "bin" / "java"


def test_a_launcher_that_fails_is_no_java_whatever_it_prints(tmp_path: Path):
    broken = a_java(tmp_path / "stub", "21.0.1", status=1)
    wheel = a_java(tmp_path / "wheel", "21.0.8")
    java = find_java({"PATH": str(broken / "bin")}, bundled=wheel / "bin" / "java")
    assert java.executable == wheel / "bin" / "java"


def test_a_machine_without_java_gets_the_one_of_the_wheel(tmp_path: Path):
    java = find_java({"JAVA_HOME": str(tmp_path / "gone"), "PATH": str(tmp_path)})
    assert java.major >= 21
    assert java.executable.is_relative_to(sys.prefix)


def test_no_java_at_all_says_what_was_tried_and_what_to_do(tmp_path: Path):
    old = a_java(tmp_path / "old", "11.0.2")
    with pytest.raises(BrokerUnavailable) as caught:
        find_java({"PATH": str(old / "bin")}, bundled=tmp_path / "wheel" / "java")
    message = str(caught.value)
    assert f"{old / 'bin' / 'java'} is Java 11" in message
    assert "wheel/java is no working Java" in message
    assert "CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS" in message
