"""Configuration: what is wrong is named with its key, its value and what is allowed."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from detectors.errors import ConfigError
from stream.config import Config, semantic_fields, semantic_hash, semantics_of
from stream.config_file import load_config

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str, **environ: str) -> Config:
        path = tmp_path / "driftline.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environ)

    return from_text


def test_without_a_file_everything_has_a_default() -> None:
    assert load_config(None, {}) == Config()


def test_a_file_may_set_a_few_keys(load: Load) -> None:
    config = load('[kafka]\nprefix = "shop"\n[columns]\nclass = "verdict"\n[limits]\ndepth = 4\n')
    assert (config.kafka.prefix, config.columns.class_, config.limits.depth) == (
        "shop",
        "verdict",
        4,
    )
    assert config.time == Config().time


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("[kafka]\nbootstraps = 'x'", r"kafka.bootstraps .* did you mean kafka.bootstrap\?"),
        ("[time]\nlateness = 3", r"time.lateness .* did you mean time.lateness_seconds\?"),
        ("[polcy]\nx = 1", r"\[polcy\] .* did you mean \[policy\]\?"),
        ("[columns]\nclass_ = 'x'", r"columns.class_ .* did you mean columns.class\?"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(load: Load, text: str, near: str) -> None:
    with pytest.raises(ConfigError, match=near):
        load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[time]\npane_seconds = 0", "time.pane_seconds in .* is 0: allowed is 1 to 3600"),
        ("[time]\nlateness_seconds = -1", "time.lateness_seconds in .* is -1: allowed is 0 to"),
        ("[detect]\nblock_events = 19", "detect.block_events in .* is 19: allowed is 20 to"),
        ("[policy]\nmin_effect_sigma = nan", "policy.min_effect_sigma in .* is nan: allowed is"),
        ("[policy]\nalarm_budget = '0/week'", "policy.alarm_budget in .*: '0/week' is no alarm"),
        ("[kafka]\nevents_partitions = 10001", "kafka.events_partitions in .* is 10001"),
        ("[time]\npane_seconds = '2'", "time.pane_seconds in .* is '2': expected `int`"),
        ("[policy]\nalarm_budget = 3", "policy.alarm_budget in .* is 3: expected `str`"),
        ("[time]\npreset = 'fast'", "time.preset in .* is 'fast': invalid enum value"),
        (
            "[detect]\ndetectors = ['magic']",
            "detect.detectors.* 'magic'; did you mean .* Allowed are sr",
        ),
        ("kafka = 3", r"kafka in .* must be a section: write \[kafka\]"),
        ("[limits]\ndepth = 1", "limits.depth is 1, but must be from 3 to 100"),
        ("[kafka", "is not TOML"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_a_limit_out_of_range_is_named_once(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"^limits\.depth is 1") as raised:
        load("[limits]\ndepth = 1")
    assert "None" not in str(raised.value)


def test_a_preset_of_another_type_is_refused(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"time\.preset"):
        load("[time]\npreset = []")


def test_a_section_that_is_a_number_is_refused_also_below_the_environment(load: Load) -> None:
    with pytest.raises(ConfigError, match="must be a section"):
        load("kafka = 3", DRIFTLINE_KAFKA_PREFIX="shop")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load_config(tmp_path / "none.toml", {})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "driftline.toml"
    path.write_bytes(b"[kafka]\nprefix = '\xff'")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(path, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DRIFTLINE_KAFKA_BOOTSTRAP", "broker:9092", "broker:9092"),
        ("DRIFTLINE_KAFKA_EVENTS_PARTITIONS", "7", 7),
        ("DRIFTLINE_KAFKA_CREATE_TOPICS", "false", False),
        ("DRIFTLINE_POLICY_ALARM_BUDGET", "2/day", "2/day"),
        ("DRIFTLINE_SLICES_BY", '[["country", "device"]]', (("country", "device"),)),
    ],
)
def test_the_environment_overrides_any_field_of_the_file(
    load: Load, name: str, text: str, value: object
) -> None:
    section, _, key = name.removeprefix("DRIFTLINE_").lower().partition("_")
    file = (
        "[kafka]\nbootstrap = 'file:1'\nevents_partitions = 2\n[policy]\nalarm_budget = '1/week'\n"
    )
    assert getattr(getattr(load(file, **{name: text}), section), key) == value


def test_variables_that_are_not_of_the_configuration_are_left_alone(load: Load) -> None:
    assert load("", DRIFTLINE_TEST_BOOTSTRAP="x", DRIFTLINE_HOME="y", PATH="z") == Config()


def test_a_wrong_variable_is_an_error_too(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.bootstrapp .* did you mean kafka\.bootstrap\?"):
        load("", DRIFTLINE_KAFKA_BOOTSTRAPP="x")


def test_a_preset_sets_what_the_file_does_not(load: Load) -> None:
    config = load("[time]\npreset = 'realtime'\nlateness_seconds = 3")
    assert (config.time.pane_seconds, config.time.bucket_seconds) == (1, 1)
    assert (config.time.lateness_seconds, config.time.tick_seconds) == (3, 1)
    assert load("[time]\npreset = 'realtime'").time.lateness_seconds == 1
    assert load("[time]\npreset = 'batchy'").time.bucket_seconds == 300


@pytest.mark.parametrize(
    "text",
    [
        "[kafka]\nprefix = 'other'",
        "[limits]\ndepth = 5",
        "[judge]\nsnapshot_seconds = 9",
        "[columns]\nid = 'k'",
    ],
)
def test_what_changes_no_answer_leaves_the_semantic_hash(load: Load, text: str) -> None:
    assert semantic_hash(load(text)) == semantic_hash(Config())


@pytest.mark.parametrize(
    "text",
    [
        "[time]\nlateness_seconds = 6",
        "[slices]\nby = [['country']]",
        "[detect]\nblock_events = 60",
        "[policy]\nalarm_budget = '2/week'",
        "[policy]\nmin_effect_sigma = 0.2",
    ],
)
def test_what_changes_an_answer_changes_the_semantic_hash(load: Load, text: str) -> None:
    assert semantic_hash(load(text)) != semantic_hash(Config())


def test_the_semantic_hash_does_not_depend_on_the_order_of_keys() -> None:
    fields = semantic_fields(Config())
    backwards = {key: dict(reversed(value.items())) for key, value in reversed(fields.items())}
    assert semantic_hash(msgspec.convert(backwards, Config)) == semantic_hash(Config())


def test_a_judge_gets_lateness_in_milliseconds_and_the_hash() -> None:
    semantics = semantics_of(Config())
    assert (semantics.lateness_ms, semantics.config) == (5_000, semantic_hash(Config()))
