"""Where weights come from, and the hashes that they are held to."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reelscope_export import download, weights
from reelscope_export.errors import LicenceRefused, UnknownModel, WeightsCorrupt, WeightsUnavailable
from reelscope_export.weights import Cache, Entry, Weights

CHECKPOINT = b"PK checkpoint" * 1000
REFUSING = "http://127.0.0.1:9/net.pt"
"""Port 9 (discard): nobody listens, so the connection is refused at once."""

ENTRY = Entry(file="net.pt", url=REFUSING, revision="v1", licence="MIT", commercial_use=True)


_FILES = {
    "/net.pt": CHECKPOINT,
    "/config.json": b'{"layers": 12}',
    "/vocab.txt": b"the of and",
    "/login.pt": b"<html>Welcome to the hotel</html>",
}


class _Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = _FILES.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Cache:
    return Cache(tmp_path, {"model": {"net": ENTRY}}, said.append)


def _with(cache: Cache, **changes: object) -> Cache:
    return replace(cache, manifest={"model": {"net": replace(ENTRY, **changes)}})  # type: ignore[arg-type]


def _resolve(cache: Cache, mode: weights.Mode, policy: weights.LicencePolicy = "any", model: str = "model") -> Weights:
    return cache.resolve(
        model,
        "net",
        mode=mode,
        policy=policy,
        write_random=lambda file: file.write_bytes(b"random"),  # type: ignore[arg-type]
        recipe="abc",
    )


def test_download_is_recorded_and_kept(cache: Cache, server: str) -> None:
    cache = _with(cache, url=f"{server}/net.pt")
    first, second = _resolve(cache, "auto"), _resolve(_with(cache, url=f"{server}/net.pt"), "trained")
    assert first == second
    assert (first.trained, first.source, first.revision) == (True, f"{server}/net.pt", "v1")
    assert first.file.read_bytes() == CHECKPOINT
    lock = json.loads((cache.folder / weights.LOCK_NAME).read_text())
    assert lock == {"net.pt": {"sha256": first.sha256, "source": f"{server}/net.pt"}}


def test_changed_checkpoint_is_noticed(cache: Cache) -> None:
    file = cache.folder / "net.pt"
    file.write_bytes(CHECKPOINT)
    first = _resolve(cache, "trained")
    file.write_bytes(CHECKPOINT + b"!")
    with pytest.raises(WeightsCorrupt) as caught:
        _resolve(cache, "trained")
    assert str(file) in str(caught.value)
    assert first.sha256 in str(caught.value)
    assert weights.file_sha256(file) in str(caught.value)


def test_auto_never_papers_over_a_changed_checkpoint(cache: Cache) -> None:
    (cache.folder / "net.pt").write_bytes(CHECKPOINT)
    with pytest.raises(WeightsCorrupt):
        _resolve(_with(cache, sha256="0" * 64), "auto")


def test_file_with_upstreams_hash_is_upstreams(cache: Cache) -> None:
    file = cache.folder / "net.pt"
    file.write_bytes(CHECKPOINT)
    found = _resolve(_with(cache, sha256=weights.file_sha256(file)), "trained")
    assert (found.source, found.revision) == (ENTRY.url, "v1")


def test_file_put_there_by_hand_has_no_known_revision(cache: Cache) -> None:
    (cache.folder / "net.pt").write_bytes(CHECKPOINT)
    found = _resolve(cache, "auto")
    assert (found.trained, found.source, found.revision, found.licence) == (True, "file net.pt", "unknown", "MIT")


def test_trained_without_network_says_what_to_do(cache: Cache) -> None:
    with pytest.raises(WeightsUnavailable) as caught:
        _resolve(cache, "trained")
    for part in ("net.pt", ENTRY.url, str(cache.folder), "--weights random"):
        assert part in str(caught.value)


def test_auto_without_network_takes_random_and_says_so(cache: Cache, said: list[str]) -> None:
    started = time.monotonic()
    found = _resolve(cache, "auto")
    assert time.monotonic() - started < 2  # refused, so at once
    assert (found.trained, found.source, found.licence) == (False, "random, seed 0", "none")
    assert any("random weights for net" in line and "refused" in line for line in said)


def test_silent_network_is_given_up_in_time(tmp_path: Path) -> None:
    """A server that accepts and never answers stands for every kind of hanging network."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/net.pt"
        with pytest.raises(download.Offline, match=r"no answer within 0\.5 s"):
            download.fetch(url, tmp_path / "net.pt", report=print, decision_seconds=0.5)
    assert time.monotonic() - started < 2
    assert download.DECISION_SECONDS <= 10


@pytest.mark.parametrize("path", ["/login.pt", "/absent.pt"])
def test_wrong_answers_are_not_kept(cache: Cache, server: str, path: str) -> None:
    with pytest.raises(WeightsUnavailable):
        _resolve(_with(cache, url=server + path), "trained")
    assert list(cache.folder.iterdir()) == []


def test_commercial_policy_refuses_non_commercial_weights(cache: Cache, said: list[str]) -> None:
    forbidden = _with(cache, commercial_use=False, licence="CC-BY-NC-4.0")
    (cache.folder / "net.pt").write_bytes(CHECKPOINT)
    assert _resolve(forbidden, "trained").trained
    with pytest.raises(LicenceRefused, match=r"CC-BY-NC-4\.0"):
        _resolve(forbidden, "trained", "commercial")
    assert not _resolve(forbidden, "auto", "commercial").trained
    assert any("forbids commercial use" in line for line in said)
    assert _resolve(cache, "trained", "commercial").trained


def test_random_weights_of_an_old_recipe_are_dropped(cache: Cache) -> None:
    old = cache.folder / "random" / "model.net-old" / "net.pt"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    (cache.folder / "random" / "model.net-pose-abc").mkdir()  # another variant
    found = _resolve(cache, "random")
    assert found.file == cache.folder / "random" / "model.net-abc" / "net.pt"
    assert sorted(path.name for path in (cache.folder / "random").iterdir()) == ["model.net-abc", "model.net-pose-abc"]


def test_random_weights_are_drawn_whole_or_not_at_all(cache: Cache) -> None:
    def fail(file: Path) -> None:
        file.write_bytes(b"half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        cache.resolve("model", "net", mode="random", policy="any", write_random=fail, recipe="abc")
    assert list((cache.folder / "random").iterdir()) == []


def test_random_weights_drawn_twice_at_once(cache: Cache) -> None:
    """Another export of the same model places the same bytes while this one still draws."""

    def write(file: Path) -> None:
        other = cache.folder / "random" / "model.net-abc" / "net.pt"
        other.parent.mkdir(parents=True)
        for each in (file, other):
            each.write_bytes(b"random")

    found = cache.resolve("model", "net", mode="random", policy="any", write_random=write, recipe="abc")
    assert found.file.read_bytes() == b"random"
    assert [path.name for path in (cache.folder / "random").iterdir()] == ["model.net-abc"]


def _folder(cache: Cache, url: str, **changes: object) -> Cache:
    """A variant of three files in a folder, their hashes known."""
    beside = {
        name.removeprefix("/"): hashlib.sha256(_FILES[name]).hexdigest() for name in ("/config.json", "/vocab.txt")
    }
    known = {"sha256": hashlib.sha256(CHECKPOINT).hexdigest(), "beside": beside}
    return _with(cache, file="folder/net.pt", url=f"{url}/net.pt", **(known | changes))


def test_folder_is_downloaded_and_recorded(cache: Cache, server: str) -> None:
    found = _resolve(_folder(cache, server), "trained")
    assert (found.file, found.revision) == (cache.folder / "folder" / "net.pt", "v1")
    assert found.sha256 == hashlib.sha256(CHECKPOINT).hexdigest()
    assert {file.name: file.read_bytes() for file in found.file.parent.iterdir()} == {
        "net.pt": CHECKPOINT,
        "config.json": _FILES["/config.json"],
        "vocab.txt": _FILES["/vocab.txt"],
    }
    lock = json.loads((cache.folder / weights.LOCK_NAME).read_text())
    assert {name: record["source"] for name, record in lock.items()} == {
        f"folder/{name}": f"{server}/{name}" for name in ("net.pt", "config.json", "vocab.txt")
    }


def test_folder_put_there_by_hand_needs_no_network(cache: Cache) -> None:
    (cache.folder / "folder").mkdir()
    for name in ("/net.pt", "/config.json", "/vocab.txt"):
        (cache.folder / f"folder{name}").write_bytes(_FILES[name])
    cache = _folder(cache, "http://127.0.0.1:9")
    assert _resolve(cache, "trained").revision == "v1", "files with upstream's hashes are upstream's"
    own = _folder(cache, "http://127.0.0.1:9", sha256=None)
    (cache.folder / weights.LOCK_NAME).unlink()
    (cache.folder / "folder" / "net.pt").write_bytes(b"fine-tuned")
    found = _resolve(own, "trained")
    assert (found.trained, found.source, found.revision) == (True, "file folder/net.pt", "unknown")


@pytest.mark.parametrize("absent", ["net.pt", "config.json", "vocab.txt"])
def test_a_file_that_is_missing_from_the_folder_is_named(cache: Cache, absent: str) -> None:
    (cache.folder / "folder").mkdir()
    for name in {"net.pt", "config.json", "vocab.txt"} - {absent}:
        (cache.folder / "folder" / name).write_bytes(_FILES[f"/{name}"])
    cache = _folder(cache, "http://127.0.0.1:9")
    with pytest.raises(WeightsUnavailable) as caught:
        _resolve(cache, "trained")
    for part in (f"folder/{absent} is not", f"http://127.0.0.1:9/{absent}", f"into {cache.folder / 'folder'},"):
        assert part in str(caught.value)
    assert not _resolve(cache, "auto").trained


@pytest.mark.parametrize("changed", ["net.pt", "config.json", "vocab.txt"])
def test_a_changed_file_of_the_folder_is_noticed(cache: Cache, server: str, changed: str) -> None:
    cache = _folder(cache, server)
    file = cache.folder / "folder" / changed
    _resolve(cache, "trained")
    file.write_bytes(file.read_bytes() + b" ")
    for mode in ("trained", "auto"):
        with pytest.raises(WeightsCorrupt) as caught:
            _resolve(cache, mode)  # type: ignore[arg-type]
        assert str(file) in str(caught.value)
        assert weights.file_sha256(file) in str(caught.value)
        assert "on purpose" not in str(caught.value), "the hash is upstream's: no lock to edit"
    file.unlink()
    assert _resolve(cache, "trained").trained, "fetched again"


def test_a_download_with_a_wrong_hash_is_refused(cache: Cache, server: str) -> None:
    with pytest.raises(WeightsCorrupt, match=r"vocab\.txt.*expected 0000"):
        _resolve(_folder(cache, server, beside={"vocab.txt": "0" * 64}), "auto")


def test_damaged_lock_is_an_error(cache: Cache) -> None:
    (cache.folder / "net.pt").write_bytes(CHECKPOINT)
    (cache.folder / weights.LOCK_NAME).write_text("{")
    with pytest.raises(WeightsCorrupt, match="no JSON"):
        _resolve(cache, "trained")


def test_unknown_variant(cache: Cache) -> None:
    with pytest.raises(UnknownModel, match="yolov99"):
        cache.resolve("model", "yolov99", mode="random", policy="any", write_random=lambda _: None, recipe="x")


def test_manifest_has_every_variant_of_every_profile() -> None:
    from reelscope_export import paths
    from reelscope_export.registry import ADAPTERS

    manifest = weights.read_manifest()
    for profile in paths.read_profiles().values():
        for model in profile["models"].keys() - set(ADAPTERS):
            entry = manifest[model][profile["models"][model]["variant"]]
            assert all(len(part.sha256 or "0" * 64) == 64 for part in entry.parts)
            assert len(entry.md5 or "0" * 32) == 32
            assert not entry.beside or len(Path(entry.file).parts) == 2, "files that belong together have a folder"
            assert entry.commercial_use or "only" in entry.licence or "-NC-" in entry.licence
            if entry.weightless or entry.stand_in:
                continue
            assert entry.url.startswith("https://")
            if entry.member:
                assert entry.url.endswith(".zip")
                assert Path(entry.member).name == Path(entry.file).name
            elif not entry.package:
                assert f"/{entry.revision}/" in entry.url
                assert entry.url.endswith(f"/{Path(entry.file).name}")


def _zip(members: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return archive.getvalue()


def test_one_zip_is_fetched_once_for_all_that_it_holds(cache: Cache, server: str, said: list[str]) -> None:
    _FILES["/pack.zip"] = _zip({"pack/a.onnx": b"first", "pack/b.onnx": b"second", "pack/other.onnx": b"not wanted"})
    first = replace(ENTRY, file="pack/a.onnx", url=f"{server}/pack.zip", member="pack/a.onnx")
    second = replace(first, file="pack/b.onnx", member="pack/b.onnx")
    cache = replace(cache, manifest={"one": {"net": first}, "two": {"net": second}})
    found = [_resolve(cache, "trained", model=model) for model in ("one", "two")]
    assert [weights.file.read_bytes() for weights in found] == [b"first", b"second"]
    assert [weights.source for weights in found] == [first.url] * 2
    assert sum("downloaded" in line for line in said) == 1
    assert sorted(path.name for path in (cache.folder / "pack").iterdir()) == ["a.onnx", "b.onnx"]
    assert not list(cache.folder.glob(".pack*"))


def test_a_zip_without_the_member_is_told(cache: Cache, server: str) -> None:
    _FILES["/pack.zip"] = _zip({"pack/a.onnx": b"first"})
    entry = replace(ENTRY, url=f"{server}/pack.zip", member="pack/absent.onnx")
    with pytest.raises(WeightsUnavailable, match=r"absent\.onnx of the zip"):
        _resolve(replace(cache, manifest={"model": {"net": entry}}), "trained")


def test_md5_is_held_to(cache: Cache, server: str) -> None:
    right = hashlib.md5(CHECKPOINT).hexdigest()
    entry = replace(ENTRY, url=f"{server}/net.pt", md5=right)
    assert _resolve(replace(cache, manifest={"model": {"net": entry}}), "trained").source == entry.url
    wrong = replace(entry, md5="0" * 32)
    with pytest.raises(WeightsCorrupt, match=f"MD5 is {right}, expected 0000"):
        _resolve(replace(cache, manifest={"model": {"net": wrong}}), "auto")


def test_a_licence_is_accepted_by_name_or_by_hand(cache: Cache, server: str, said: list[str]) -> None:
    entry = replace(ENTRY, url=f"{server}/net.pt", licence="Research only", opt_in=True)
    cache = replace(cache, manifest={"model": {"net": entry}})
    with pytest.raises(LicenceRefused, match="--accept-licence 'Research only'"):
        _resolve(cache, "trained")
    assert not _resolve(cache, "auto").trained
    assert any("--accept-licence" in line for line in said)
    accepted = replace(cache, accepted=frozenset({"Research only"}))
    assert _resolve(accepted, "auto").trained
    assert _resolve(cache, "auto").trained, "it lies in the cache now, as if put there by hand"


def test_a_package_brings_trained_weights_in_every_mode(cache: Cache) -> None:
    entry = Entry(file="pytest/py.typed", url="", revision="", licence="MIT", commercial_use=True, package="pytest")
    cache = replace(cache, manifest={"model": {"net": entry}})
    for mode in ("auto", "trained", "random"):
        found = _resolve(cache, mode)
        assert (found.trained, found.source, found.revision) == (True, "package pytest", pytest.__version__)
    for wrong, message in (
        ({"file": "pytest/absent"}, "has no pytest/absent"),
        ({"package": "no-such-package"}, "not installed"),
    ):
        with pytest.raises(WeightsUnavailable, match=message):
            _resolve(replace(cache, manifest={"model": {"net": replace(entry, **wrong)}}), "random")
    with pytest.raises(WeightsCorrupt, match="install pytest again"):
        _resolve(replace(cache, manifest={"model": {"net": replace(entry, sha256="0")}}), "random")


def test_a_silent_host_is_asked_once(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        raise download.Silent("no answer within 10 s")

    monkeypatch.setattr(weights, "fetch", fetch)
    entry = replace(ENTRY, url="https://far.example/a.pt")
    cache = replace(cache, manifest={name: {"net": replace(entry, file=f"{name}.pt")} for name in ("one", "two")})
    for model in ("one", "two"):
        with pytest.raises(WeightsUnavailable, match="no answer within 10 s"):
            _resolve(cache, "trained", model=model)
    assert len(asked) == 1
