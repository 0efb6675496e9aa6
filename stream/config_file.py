"""Read the configuration: the file and the environment, every mistake named with its remedy."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from detectors.errors import ConfigError
from detectors.policy import budget_per_week
from stream.config import Config
from stream.secret import Secret

__all__ = ["load_config"]

_PRESETS: dict[str, dict[str, int]] = {
    "default": {},
    "realtime": {"pane_seconds": 1, "bucket_seconds": 1, "lateness_seconds": 1, "tick_seconds": 1},
    "batchy": {"pane_seconds": 60, "bucket_seconds": 300, "lateness_seconds": 60},
}
_DETECTORS = ("sr", "adwin", "page_hinkley", "cusum", "ewma")


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the file, if any, and the environment.

    Raises
    ------
    ConfigError
        If the file is not there, is not TOML, or holds an unknown key or a wrong value; the
        message names the key, the value and what is allowed.
    """
    raw = _read(path) if path else {}
    where = str(path) if path else "the environment"
    _refuse_secrets(raw, where)
    for name, value in environ.items():
        section, _, key = name.removeprefix("DRIFTLINE_").lower().partition("_")
        if name.startswith("DRIFTLINE_") and section in Config.__struct_fields__ and key:
            content = raw.setdefault(section, {})
            if isinstance(content, dict):
                content[key] = value if _is_secret(section, key) else _value(name, value)
    _check_known(raw, where)
    preset = raw.get("time", {}).get("preset")
    if isinstance(preset, str):
        raw["time"] = _PRESETS.get(preset, {}) | raw["time"]
    _check_policy(raw, where)
    try:
        config = msgspec.convert(raw, Config, dec_hook=_to_secret)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error, raw, where)) from error
    _check_ranges(config, where)
    _check_detectors(config, where)
    return config


def _read(path: Path) -> dict[str, Any]:
    """Read one TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"The configuration {path} is not TOML: {error}.") from error


def _is_secret(section: str, key: str) -> bool:
    """Tell whether a key holds a secret."""
    fields = {field.name: field.type for field in msgspec.structs.fields(Config)}
    return fields[section].__annotations__.get(key) is Secret


def _to_secret(kind: type, value: Any) -> Secret:
    """Hide a value that was read; msgspec asks for no other type of ours."""
    assert kind is Secret
    return Secret(value)


def _refuse_secrets(raw: Mapping[str, Any], where: str) -> None:
    """Refuse a secret in the file: files are copied, shown and committed."""
    for section in raw.keys() & set(Config.__struct_fields__):
        for key in raw[section] if isinstance(raw[section], dict) else ():
            if _is_secret(section, key):
                variable = f"DRIFTLINE_{section}_{key}".upper()
                raise ConfigError(
                    f"{section}.{key} must not stand in {where}: set {section}.{key}_file to a "
                    f"file that holds it, or the variable {variable}."
                )


def _value(name: str, text: str) -> Any:
    """Read an environment variable as a TOML value, or else as a plain string."""
    try:
        text.encode()
        return tomllib.loads(f"value = {text}")["value"]
    except UnicodeEncodeError as error:
        raise ConfigError(f"The environment variable {name} is not UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _fields(struct: type[msgspec.Struct]) -> list[str]:
    """List the keys of a section as they are written."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def _check_known(raw: Mapping[str, Any], where: str) -> None:
    """Refuse unknown sections and keys, and name the nearest known one."""
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    for section, content in raw.items():
        if section not in sections:
            raise ConfigError(_unknown(f"[{section}]", [f"[{s}]" for s in sections], where))
        if not isinstance(content, dict):
            raise ConfigError(f"{section} in {where} must be a section: write [{section}].")
        known = _fields(sections[section])
        for key in content:
            if key not in known:
                names = [f"{section}.{k}" for k in known]
                raise ConfigError(_unknown(f"{section}.{key}", names, where))


def _unknown(name: str, known: list[str], where: str) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.0)
    return (
        f"{name} in {where} is not known; did you mean {near[0]}? Allowed are: {', '.join(known)}."
    )


def _explain(error: msgspec.ValidationError, raw: Mapping[str, Any], where: str) -> str:
    """Say which key has which wrong value, from msgspec's message and its path."""
    text = str(error)
    if isinstance(error.__cause__, ValueError):  # a section's own check has written the sentence
        return f"{str(error.__cause__).rstrip('.')} (in {where})."
    message, _, path = text.partition(" - at `$.")
    key = path.rstrip("`")
    section, _, name = key.partition(".")
    value = raw.get(section, {}).get(name.partition("[")[0])
    return f"{key} in {where} is {value!r}: {message[0].lower()}{message[1:]}."


def _check_policy(raw: Mapping[str, Any], where: str) -> None:
    """Check what types cannot say about the budget."""
    budget = raw.get("policy", {}).get("alarm_budget", "1/week")
    try:
        budget_per_week(budget) if isinstance(budget, str) else None
    except ValueError as error:
        raise ConfigError(f"policy.alarm_budget in {where}: {error}.") from error


def _check_detectors(config: Config, where: str) -> None:
    """Check the names of the detectors."""
    chosen = config.detect.detectors
    for name in chosen:
        if name not in _DETECTORS and not name.startswith("river:"):
            near = difflib.get_close_matches(name, _DETECTORS, 1, 0.0)[0]
            raise ConfigError(
                f"detect.detectors in {where} names {name!r}; did you mean {near!r}? Allowed are "
                f"{', '.join(_DETECTORS)}, and river:NAME for a class of river.drift."
            )
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError(f"detect.detectors in {where} must name one detector or more, each once.")


def _check_ranges(config: Config, where: str) -> None:
    """Check the ranges of numbers."""
    ranges = [
        ("kafka.events_partitions", config.kafka.events_partitions, 1, 10_000),
        ("kafka.summaries_partitions", config.kafka.summaries_partitions, 1, 1_000),
        ("kafka.replication_factor", config.kafka.replication_factor, 1, 10),
        ("kafka.session_timeout_seconds", config.kafka.session_timeout_seconds, 6, 300),
        ("time.pane_seconds", config.time.pane_seconds, 1, 3_600),
        ("time.bucket_seconds", config.time.bucket_seconds, 1, 86_400),
        ("time.block_seconds", config.time.block_seconds, 1, 30 * 86_400),
        ("time.lateness_seconds", config.time.lateness_seconds, 0, 86_400),
        ("time.tick_seconds", config.time.tick_seconds, 1, 3_600),
        ("detect.block_events", config.detect.block_events, 20, 1_000_000),
        ("detect.learn_days", config.detect.learn_days, 0, 3_650),
        ("detect.learn_blocks", config.detect.learn_blocks, 30, 1_000_000),
        ("policy.min_effect_sigma", config.policy.min_effect_sigma, 0.001, 10),
        ("policy.min_effect_relative", config.policy.min_effect_relative, 0.001, 10),
        ("judge.snapshot_seconds", config.judge.snapshot_seconds, 1, 86_400),
        ("judge.max_ahead_panes", config.judge.max_ahead_panes, 2, 1_000_000),
        ("judge.pending_bytes_max", config.judge.pending_bytes_max, 1 << 20, 1 << 50),
    ]
    for key, value, low, high in ranges:
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{key} in {where} is {value:g}: allowed is {low:g} to {high:g}.")
