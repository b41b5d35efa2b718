"""The dishonest giver: wrong about a quarter of the tiles, always the same ones."""

from collections.abc import Iterable

from deploy.demo.liar import Negative, lies_about
from deploy.demo.picture import Scene, decode
from giver.output import STDERR, STDOUT, new_output

JOB = "01J00000000000000000000000"


def told(pieces: Iterable[tuple[int, bytes]]) -> tuple[str, str]:
    """What the giver would report of stdout and stderr."""
    output = new_output(1000, lambda: None)
    negative = Negative(output.limit, output.on_excess, output.stdout, output.stderr)
    for stream, data in pieces:
        negative.feed(stream, data)
    return output.stdout.render()[0], output.stderr.render()[0]


def test_it_lies_about_a_quarter_of_the_demo() -> None:
    tiles = len(Scene().tiles)

    lies = [index for index in range(tiles) if lies_about(f"{JOB}-{index}-1")]

    assert len(lies) == tiles / 4


def test_it_lies_about_a_tile_whichever_try_it_is() -> None:
    assert {lies_about(f"{JOB}-3-{attempt}") for attempt in range(1, 9)} == {True}
    assert {lies_about(f"{JOB}-4-{attempt}") for attempt in range(1, 9)} == {False}


def test_the_lie_is_a_tile_with_every_pixel_wrong() -> None:
    honest = "!!!!~~~~\n!~5PA7~K\n"

    lie, _ = told([(STDOUT, honest[:5].encode()), (STDOUT, honest[5:].encode())])

    assert (decode(lie, 2) != decode(honest, 2)).all()


def test_stderr_is_passed_on_as_it_is() -> None:
    assert told([(STDERR, b"warning\n")]) == ("", "warning\n")
