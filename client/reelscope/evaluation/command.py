"""`reelscope evaluate`: clips and annotations in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from reelscope import settings
from reelscope.job import BiometricsOption, LongestOption, ProfileOption, UrlOption, connected, writable
from reelscope.terminal import INCOMPLETE, address, console, progress, reported

if TYPE_CHECKING:
    from reelscope.analyzers.base import Analyzer
    from reelscope.evaluation.judging import Judged
    from reelscope.evaluation.pairs import Pair
    from reelscope.evaluation.truth import Truth
    from reelscope.inference import InferenceClient


def evaluate(
    clips: Annotated[
        Path, typer.Argument(help="A clip, results of one (results.json), or a folder of clips and NAME/results.json.")
    ],
    truth: Annotated[Path, typer.Argument(help="Its annotation, or a folder with NAME.truth.json for each NAME.mp4.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for evaluation.json, and NAME/results.json of each clip."),
    ] = None,
    profile: ProfileOption = "cpu",
    url: UrlOption = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each clip.")] = 900.0,
    max_duration: LongestOption = 900.0,
    no_biometrics: BiometricsOption = False,
) -> None:
    """Hold what analyzers find against annotations: precision, recall, F1, time errors, WER and CER.

    Only annotated analyzers run; results that are given are not analysed again. Where findings carry a score, the
    threshold with the best F1 is told. The format of annotations: docs/truth-format.md, `reelscope schema truth`.

    Exit codes: 0 every annotated analyzer was judged, untrained, or skipped with a reason, 2 usage, or an annotation or
    results file that is none, 3 some analyzer failed, is partial, or is not in the results, 4 a clip cannot be
    analysed, 5 no server.
    """
    with reported():
        from reelscope.evaluation import figures, judging, pairs, scores
        from reelscope.evaluation.tables import print_evaluation
        from reelscope.evaluation.truth import read
        from reelscope.results import write

        chosen = settings.profile(profile, biometrics=False if no_biometrics else None)
        job = _Job(chosen, address(url), timeout, max_duration, output)
        matched = pairs.pairs(clips, truth)
        truths = {pair.name: read(pair.truth) for pair in matched}
        file = writable(output, "evaluation.json") if output else None
        evaluation = scores.evaluate(job.judged(matched, truths))
        if file:
            write(figures.to_json(evaluation), file)
        print_evaluation(evaluation)
        if file:
            console.print(Text(str(file), "bold"), soft_wrap=True)
    if any(judging.is_gap(why) for clip in evaluation.clips for why in clip.not_judged.values()):
        raise typer.Exit(INCOMPLETE)


class _Job:
    """How results are come by, and judged."""

    def __init__(
        self, profile: settings.Profile, url: str | None, timeout: float, max_duration: float, output: Path | None
    ) -> None:
        self._profile, self._url, self._output = profile, url, output
        self._budget_seconds, self._max_seconds = timeout, max_duration

    def judged(self, pairs: Sequence[Pair], truths: Mapping[str, Truth]) -> dict[str, Judged]:
        """What is said of each clip, whose results are read, or made by the annotated analyzers."""
        from reelscope import decode, pipeline
        from reelscope.analyzers import ANALYZERS
        from reelscope.evaluation.judging import judge
        from reelscope.results import read_fitting

        clips = [pair for pair in pairs if not pair.is_results]
        for pair in clips:  # one that cannot be read is refused before any is analysed
            with decode.Decoder(pair.file, self._profile.base_frame_rate, None, max_seconds=self._max_seconds):
                pass
        wanted = pipeline.select(sorted({name for pair in clips for name in truths[pair.name].analyzers}))
        found = {}
        with progress() as show, connected(self._profile, self._url, wanted, show) as client:
            for number, pair in enumerate(pairs, 1):
                truth = truths[pair.name]
                if pair.is_results:
                    values = read_fitting(pair.file, ANALYZERS)
                else:
                    values = self._analyzed(pair, pipeline.select(sorted(truth.analyzers)), client, show)
                found[pair.name] = judge(pair.name, values, truth)
                show("clips", number / len(pairs))
        return found

    def _analyzed(
        self,
        pair: Pair,
        analyzers: Sequence[Analyzer],
        client: InferenceClient | None,
        show: Callable[[str, float], None],
    ) -> dict[str, Any]:
        """Values of the clip's results, which are kept where evaluation.json will be."""
        from reelscope import pipeline, results

        found = pipeline.analyze(
            pair.file,
            analyzers=analyzers,
            profile=self._profile,
            client=client,
            budget_seconds=self._budget_seconds,
            max_seconds=self._max_seconds,
            on_progress=show,
        )
        values = results.to_json(found, analyzers)
        if self._output:
            results.write(values, self._output / pair.name / "results.json")
        return values
