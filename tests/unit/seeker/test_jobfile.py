"""Job files, and what the command line shares with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runtime.command_line import UserError
from schemas.job import Grants, JobSpec
from seeker import jobfile, sweep
from seeker.commands.job_options import spec_of

JOB = "01J00000000000000000000000"


def build(**values: Any) -> JobSpec:
    return jobfile.build({"image": "image", **values}, "job.yaml")


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_every_key_of_placement_and_life_arrives_in_the_spec() -> None:
    spec = build(
        require="cpus >= 2",
        prefer="speed",
        labels={"rack": 7},
        platform="linux/arm64",
        strategy="pack",
        resources={"gpus": 1},
        retries=3,
        retry_pause="2m",
        queue_timeout="1h",
        deadline="1d",
        backup_after=3,
        after=JOB,
    )
    placement = spec.placement
    assert (placement.require, placement.prefer) == ("cpus >= 2", "speed")
    assert (placement.os, placement.architecture) == ("linux", "arm64")
    assert (placement.labels, placement.strategy) == ({"rack": "7"}, "pack")
    assert (spec.retry.limit, spec.retry.pause_s, spec.retry.longest_pause_s) == (3, 120, 120)
    assert (spec.queue_timeout_s, spec.deadline_s, spec.backup_after) == (3600, 86400, 3)
    assert spec.after == (JOB,)
    assert spec.container.resources.gpus == 1


def test_grants_arrive_from_the_file_and_from_options_over_it(write: Any) -> None:
    asked = {"network": True, "capabilities": "cap_net_raw", "runtime": "runsc"}
    grants = build(grants=asked).container.grants
    assert grants == Grants(network=True, capabilities=("NET_RAW",), runtime="runsc")
    path = write("job.yaml", "image: x\ngrants: {network: true, runtime: runsc}\n")
    options = {"path": path, "network": False, "capabilities": ("sys_ptrace",)}
    assert spec_of(options).container.grants == Grants(
        capabilities=("SYS_PTRACE",), runtime="runsc"
    )


def test_an_empty_job_file_key_leaves_every_default() -> None:
    assert build() == JobSpec.model_validate({"container": {"image": "image"}})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"require": "cpus >"}, "require: 'cpus >' is no CEL expression"),
        ({"require": "cpu > 1"}, "require: 'cpu > 1'"),
        ({"require": "cpus"}, "must yield true or false"),
        ({"prefer": "owner"}, "prefer: 'owner' yields '': it must yield a number"),
        ({"platform": "arm64"}, "platform: not a platform: write OS/ARCHITECTURE"),
        ({"strategy": "middle"}, "strategy: "),
        ({"retries": -1}, "retries: "),
        ({"retry_pause": "soon"}, "retry_pause: not a duration"),
        ({"queue_timeout": 0}, "queue_timeout: "),
        ({"deadline": "-1h"}, "deadline: "),
        ({"backup_after": 1}, "backup_after: "),
        ({"after": ["job"]}, "after.0: not the id of a job"),
        ({"array": "9-1"}, "array: '9-1' is no range of indices"),
        ({"array": 5}, "array: '5' is no range of indices"),
        ({"matrix": {"seed": "9..1"}}, "matrix.seed: '9..1' counts down: write 1..9"),
        ({"matrix": {"seed": []}}, "matrix.seed: "),
        ({"matrix": {"a": "1,2"}, "count": 3}, "2 combinations for 3 tasks"),
        ({"matrix": {"a": "1,2"}, "parameters": [{"a": 1}]}, "exclude each other"),
        ({"command": ["{{b}}"], "matrix": {"a": "1,2"}}, "{{b}} is no parameter"),
        ({"grants": {"gpu": True}}, "grants.gpu: "),
        ({"grants": {"capabilities": ["ALL"]}}, "name each capability by itself"),
        ({"colour": "red"}, "colour: "),
    ],
)
def test_a_wrong_key_is_named_with_what_is_expected(values: dict[str, Any], told: str) -> None:
    with pytest.raises(jobfile.JobFileError) as caught:
        build(**values)
    assert str(caught.value).startswith("job.yaml: ")
    assert told in str(caught.value)


def test_a_matrix_takes_lists_texts_and_ranges_and_stays_compact() -> None:
    spec = build(matrix={"size": [1, True, "1,5"], "kind": "a,b", "seed": "-1..1", "one": 4})
    assert spec.matrix == {
        "size": ("1", "true", "1,5"),
        "kind": ("a", "b"),
        "seed": ("-1", "0", "1"),
        "one": ("4",),
    }
    assert spec.count == 18
    assert spec.parameters == ()


def test_an_array_is_a_first_index_and_a_count() -> None:
    spec = build(array="1-100000")
    assert (spec.first_index, spec.count, spec.parameters) == (1, 100_000, ())


def test_a_range_longer_than_any_job_is_refused_before_it_is_made() -> None:
    with pytest.raises(sweep.SweepError, match="at most 10000000"):
        sweep.values("1..999999999999")


def test_parameters_come_from_a_csv_file_beside_the_job_file(write: Any) -> None:
    write("sweep.csv", '\ufeffsize,text\n1,"a, b"\n\n2,"two\nlines"\n')
    path = write("job.yaml", "image: x\ncommand: ['{{size}}']\nparameters: sweep.csv\n")
    assert jobfile.build(jobfile.read(path), str(path)).parameters == (
        {"size": "1", "text": "a, b"},
        {"size": "2", "text": "two\nlines"},
    )


def test_parameters_come_from_a_jsonl_file(write: Any) -> None:
    path = write("sweep.jsonl", '{"a": 1, "b": true}\n\n{"a": "x", "b": 1.5}\n')
    assert sweep.read_parameters(path) == ({"a": "1", "b": "true"}, {"a": "x", "b": "1.5"})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.csv", "a,b\n1,2\n3\n", "p.csv:3: 1 values for 2 names"),
        ("p.csv", "a,a\n1,2\n", "p.csv:1: a is there twice"),
        ("p.csv", "a b\n1\n", "p.csv:1: 'a b' is no name"),
        ("p.csv", 'a\n"1\n', "p.csv:2: "),
        ("p.csv", "a\n", "holds no parameters"),
        ("p.csv", "", "holds no parameters"),
        ("p.jsonl", '{"a": 1}\n{"a": \n', "p.jsonl:2 cannot be read as JSON"),
        ("p.csv", "\na\n1\n", "p.csv:1 is empty: the first row has the names"),
        ("p.jsonl", '{"a": ' * 100_000, "p.jsonl:1 cannot be read as JSON"),
        ("p.jsonl", '{"a": 1, "a": 2}', "a is there twice: rename one"),
        ("p.jsonl", '{"a": 1}\n[1]\n', "p.jsonl:2: each line is an object"),
        ("p.jsonl", '{"a": 1}\n{"a": null}\n', "p.jsonl:2: a is null: write text or a number"),
        ("p.jsonl", '{"a": NaN}\n', "p.jsonl:1: a is NaN: write text or a number"),
        ("p.jsonl", '{"a": 1}\n{"a": "\\ud800"}\n', "p.jsonl:2: a is no text"),
        ("p.txt", "a\n1\n", "p.txt: parameters are read from files named .csv or .jsonl"),
    ],
)
def test_a_wrong_file_of_parameters_is_named_with_its_line(
    write: Any, name: str, text: str, told: str
) -> None:
    with pytest.raises(sweep.SweepError) as caught:
        sweep.read_parameters(write(name, text))
    assert told in str(caught.value)


def test_a_missing_file_of_parameters_is_named_with_the_job_file(write: Any) -> None:
    path = write("job.yaml", "image: x\nparameters: none.csv\n")
    with pytest.raises(jobfile.JobFileError, match=r"job\.yaml: parameters: .*none\.csv cannot"):
        jobfile.read(path)


def test_options_replace_single_entries_of_mappings_in_the_file(write: Any) -> None:
    path = write(
        "job.yaml",
        "image: x\nlabels: {a: 1, b: 2}\nresources: {cpus: 2, gpus: 1}\nmatrix: {n: '1,2'}\n",
    )
    spec = spec_of({"path": path, "labels": {"b": "3"}, "gpus": 0, "matrix": {"m": ("1", "2")}})
    assert spec.placement.labels == {"a": "1", "b": "3"}
    assert (spec.container.resources.cpus, spec.container.resources.gpus) == (2, 0)
    assert list(spec.matrix) == ["n", "m"]
    assert spec.count == 4


def test_an_option_takes_the_place_of_what_it_cannot_go_with(write: Any) -> None:
    listed = write("listed.yaml", "image: x\nparameters: [{a: 1}, {a: 2}]\n")
    assert spec_of({"path": listed, "matrix": {"a": ("1", "2", "3")}}).count == 3
    counted = write("counted.yaml", "image: x\nfirst_index: 3\ncount: 2\n")
    spec = spec_of({"path": counted, "array": "5-9"})
    assert (spec.first_index, spec.count) == (5, 5)


def test_a_job_without_an_image_is_refused() -> None:
    with pytest.raises(UserError, match="no image"):
        spec_of({"path": None, "command": ("true",)})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"array": "²-³"}, "no range of indices"),
        ({"array": "9999999999-9999999999"}, "no range of indices"),
        ({"first_index": 999_999_999, "count": 2}, "the last index would be 1000000000"),
        ({"first_index": 10**21}, "first_index"),
        ({"count": 0}, "count"),
        ({"replicas": 0}, "replicas"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 100, "retries": 50}, "are 5100 tries of a task, at most 5000"),
        ({"resources": {"memory": "999999PiB"}}, "memory"),
        ({"env": {"A": "a\0b"}}, "NUL"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"parameters": [{"x": "a\0b"}]}, "NUL"),
        ({"matrix": {"x": ["a", "a\0b"]}}, "NUL"),
        ({"workdir": "/a\0b"}, "workdir"),
        ({"platform": "linux/" + "a" * 101}, "architecture"),
        ({"workdir": "/" + "a/" * 2500}, "workdir"),
        ({"labels": {"zone": "a" * 201}}, "labels.zone"),
        ({"labels": {str(number): "" for number in range(101)}}, "labels"),
        ({"image": "not an image"}, "image"),
    ],
)
def test_what_could_never_run_is_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(jobfile.JobFileError, match=re.escape(told)):
        jobfile.build({"image": "busybox", **values}, "job.yaml")


def test_a_file_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("[" * 5000)
    with pytest.raises(jobfile.JobFileError, match="is not YAML"):
        jobfile.read(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image: x\nname: y\nimage: z\n", "'image' is there twice, in line 1 and in line 3"),
        ("image: x\nenv:\n  A: 1\n  'A': 2\n", "'A' is there twice, in line 3 and in line 4"),
        ("image: x\nparameters: [{a: 1, a: 2}]\n", "'a' is there twice, in line 2"),
    ],
)
def test_a_key_that_is_there_twice_is_named_with_its_lines(
    write: Any, text: str, told: str
) -> None:
    with pytest.raises(jobfile.JobFileError) as caught:
        jobfile.read(write("job.yaml", text))
    assert "job.yaml: key " in str(caught.value)
    assert told in str(caught.value)


def test_mappings_may_share_entries_and_replace_them(write: Any) -> None:
    path = write(
        "job.yaml",
        "image: x\nenv: &base {A: 1, B: 1}\nlabels: &more {<<: *base, A: 2}\n"
        "parameters: [{<<: *more, A: 3}]\n",
    )
    spec = jobfile.build(jobfile.read(path), str(path))
    assert spec.placement.labels == {"A": "2", "B": "1"}
    assert spec.parameters == ({"A": "3", "B": "1"},)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("resources: [1]", {"cpus": 2.0}),
        ("env: hello", {"env": {"A": "1"}}),
        ("labels: 7", {"labels": {"a": "1"}}),
        ("matrix:", {"matrix": {"a": ("1", "2")}}),
    ],
)
def test_what_is_no_mapping_in_the_file_is_refused_though_an_option_adds_to_it(
    write: Any, text: str, options: dict[str, Any]
) -> None:
    path = write("job.yaml", f"image: x\n{text}\n")
    with pytest.raises(UserError, match=rf"job\.yaml: {text.partition(':')[0]}: "):
        spec_of({"path": path, **options})


def test_an_empty_entrypoint_takes_away_the_images_own(write: Any) -> None:
    path = write("job.yaml", "image: x\ncommand: [true]\nentrypoint: ''\n")
    for options in ({"path": path}, {"image": "x", "command": ("true",), "entrypoint": ""}):
        assert spec_of(options).container.entrypoint == ("",)
    assert spec_of({"path": path, "entrypoint": "sh"}).container.entrypoint == ("sh",)
    with pytest.raises(UserError, match=r"the job: entrypoint '' .*: name a command"):
        spec_of({"image": "x", "entrypoint": ""})


def test_trust_is_one_word() -> None:
    rules = [build(trust=word).agreement for word in ("none", "quorum", "adaptive")]
    assert [(each.replicas, each.quorum, each.adaptive) for each in rules] == [
        (1, 1, False),
        (2, 2, False),
        (2, 2, True),
    ]
    assert build(trust="quorum", quorum=3).agreement.replicas == 3


def test_what_is_compared_and_what_if_it_differs() -> None:
    spec = build(
        trust="quorum",
        compare="json",
        tolerance=1e-6,
        absolute_tolerance=0.5,
        on_disagreement="fail",
        homogeneous=True,
    )
    comparison = spec.agreement.comparison
    assert (comparison.by, comparison.relative, comparison.absolute) == ("json", 1e-6, 0.5)
    assert spec.agreement.on_disagreement == "fail"
    assert spec.placement.homogeneous
    assert build(comparator="c:1").agreement.comparison.by == "image"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"trust": "adaptive", "quorum": 1}, "needs a quorum of 2"),
        ({"trust": "none", "quorum": 2}, "asks nobody to agree"),
        ({"compare": "text", "tolerance": 0.1}, "compare by numbers or json"),
        ({"compare": "image"}, "what a comparator does: name its image"),
        ({"compare": "json", "comparator": "c:1"}, "comparing by json says it, too: drop one"),
        ({"comparator": ""}, "an image is wanted, not nothing"),
        ({"array": "1-3", "count": 5}, "array says what count and first_index say"),
        ({"comparator": "no image!"}, "the comparator 'no image!' is no image"),
        ({"comparator": "c:1", "comparator_command": ["a\0"]}, "a NUL cannot be handed"),
        ({"compare": "json", "tolerance": 2}, "tolerance"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(jobfile.JobFileError, match=told):
        build(**values)
