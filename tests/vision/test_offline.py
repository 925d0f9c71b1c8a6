"""Counting a file by its own process: same file, same events; errors in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.model.errors import ConfigError, LinkDown, Unsupported
from tests.vision.kit import data
from vision import simulate
from vision.offline import Trial, count, count_video

ENDS = (32.0, 198.0, 608.0, 198.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "t.mp4"
    simulate.make_clip(path, 10.0, seed=2)
    return path


def test_the_answer_has_the_agreed_form(clip: Path) -> None:
    shares: list[float] = []
    answer = count_video(clip, ENDS, None, 3.0, 9.0, shares.append)
    assert set(answer) == {"counts", "total", "frames", "seconds", "fps"}
    assert answer["counts"] == {"vehicle": answer["total"]}
    assert set(answer["total"]) == {"up", "down"}
    assert answer["frames"] == 15 * 9, "from two seconds before the start to one after the end"
    assert answer["fps"] == pytest.approx(answer["frames"] / answer["seconds"], rel=0.02)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


async def test_only_what_crosses_between_start_and_end_counts(clip: Path) -> None:
    everything = await count(Trial(path=clip, line=ENDS))
    part = await count(Trial(path=clip, line=ENDS, start_s=4.0, end_s=7.0))
    inside = [crossing for crossing in everything.crossings if 4.0 <= crossing.at_s <= 7.0]
    assert len(inside) >= 3
    assert [(c.way, c.at_s) for c in part.crossings] == [(c.way, pytest.approx(c.at_s, abs=0.15)) for c in inside]


async def test_the_same_file_gives_the_same_events_whatever_the_threads(clip: Path) -> None:
    runs = [await count(Trial(path=clip, line=ENDS, threads=threads)) for threads in (1, 1, 2)]
    assert runs[0].crossings
    assert runs[0].crossings == runs[1].crossings == runs[2].crossings


async def test_turning_the_line_around_changes_nothing(clip: Path) -> None:
    x1, y1, x2, y2 = ENDS
    there, back = [await count(Trial(path=clip, line=line)) for line in (ENDS, (x2, y2, x1, y1))]
    assert there.crossings == back.crossings


@pytest.mark.data
async def test_a_model_gives_the_same_events_with_one_thread_and_with_two() -> None:
    video, model = data() / "videos" / "hyderabad_junction.mp4", data() / "models" / "yolox_nano_416.onnx"
    one, two = [
        await count(Trial(path=video, line=(150, 300, 958, 300), model=model, end_s=2.0, threads=n)) for n in (1, 2)
    ]
    assert one.crossings
    assert [(c.way, c.cls) for c in one.crossings] == [(c.way, c.cls) for c in two.crossings]


async def test_what_cannot_be_counted_is_an_error_in_words(clip: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video", encoding="utf-8")
    cases = (
        (Trial(path=tmp_path / "none.mp4", line=ENDS), LinkDown, "no such video"),
        (Trial(path=text, line=ENDS), Unsupported, "cannot be read"),
        (Trial(path=clip, line=ENDS, model=text), Unsupported, "no model"),
        (Trial(path=clip, line=(5, 5, 5, 5)), ConfigError, "no length"),
    )
    for trial, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            await count(trial)
        assert caught.value.hint
        assert caught.value.where == trial.path.name


async def test_a_missing_vision_extra_says_what_to_install(clip: Path) -> None:
    code = "import sys; sys.modules['cv2'] = None; from vision.child import main; sys.exit(main())"
    with pytest.raises(Unsupported, match="vision extra is not installed") as caught:
        await count(Trial(path=clip, line=ENDS), command=(sys.executable, "-P", "-c", code))
    assert "ioc-edge-gateway[vision]" in caught.value.hint


async def test_a_mistake_in_the_child_is_told_by_its_place_and_shows_nothing_of_the_picture(clip: Path) -> None:
    code = (
        "import sys; from vision import child, chain\n"
        "def look(self, frame): print(frame.picture); raise ValueError(str(frame.picture))\n"
        "chain.Chain.look = look; sys.exit(child.main())"
    )
    with pytest.raises(LinkDown, match=r"^\[link-down\] t\.mp4: ValueError in <string>:2") as caught:
        await count(Trial(path=clip, line=ENDS), command=(sys.executable, "-P", "-c", code))
    assert "[[" not in str(caught.value)
