"""Pages: complete without scripts, closed to the network, and honest."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from commands import RULES, WEEK, strict_json
from reporting_names import HOSTILE, hostile_run
from sheets import result_of

import mp2 as package
from mp2.discovery.records import OutcomeStatus, ScanError, ScanOutcome, ScanResult, ScanStatus
from mp2.errors import InputError
from mp2.groups.result import Status
from mp2.reporting.content import without_folders
from mp2.reporting.writing import in_script


class Parsed(HTMLParser):
    """The elements of a page, its visible text, and the content of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.scripts = []
        self.text = ""
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif self._inside != "style":
            self.text += data


@pytest.fixture
def page(result, picks, outcome, walked):
    return package.report(result, picks=picks, outcome=outcome, walk=walked)


def policy_of(parsed):
    return next(attrs["content"] for tag, attrs in parsed.elements if "http-equiv" in attrs)


def test_the_first_sentence_is_the_honest_one(page):
    lead = re.search(r'<p class="lead">(.*?)</p>', page)[1]
    assert lead.startswith(
        "In the 5 days searched, the pick of size 2 hit 0% and all tickers 50%; it was chosen for "
        "that. On Mon 12 Jan, after the search, the picks hit 50%, all tickers 67%. Made this way "
        "over 2 past weeks, picks hit "
    )
    assert lead.endswith("Whether the groups are better than luck was not tested (mp2 test).")


def test_without_tests_the_page_says_so(result):
    lead = re.search(r'<p class="lead">(.*?)</p>', package.report(result))[1]
    assert "Whether such picks did well in past weeks was not tested (mp2 walkforward)." in lead


def test_a_search_that_did_not_end_says_how_far_it_came(result):
    walled = replace(result, status=Status.WALL, coverage=0.2249)
    page = package.report(walled)
    assert "The search did not end: it covered 22.4% of the space." in page
    assert "better groups may exist" in page


def test_a_scan_page_tells_answered_from_not_run():
    outcomes = (
        ScanOutcome(scanner="good", pipeline="p", status=OutcomeStatus.OK, n_candidates=0),
        ScanOutcome(
            scanner="off",
            pipeline="p",
            status=OutcomeStatus.SKIPPED,
            error=ScanError("missing_key", "no key"),
        ),
    )
    scan = ScanResult(
        scan_id="20260109-200000-abcd",
        status=ScanStatus.COMPLETE,
        elapsed_s=1.0,
        workers=2,
        mode="concurrent",
        outcomes=outcomes,
        candidates=(),
    )
    page = package.report(scan)
    assert "1 of 2 scanners answered and named 0 candidates; none failed, 1 were not run." in page


def test_a_walk_has_a_page(walked):
    assert f'<p class="lead">{walked.sentence()}</p>' in package.report(walked)


def test_a_run_that_found_nothing_has_a_page():
    page = package.report(result_of({2: [], 3: []}))
    assert "Nothing was kept: no group of the 5 days searched meets the rules." in page
    assert "<h1>Search of 5 days, nothing kept</h1>" in page
    # No picture, so no library of pictures.
    assert len(page) < 100_000


def test_a_search_without_a_find_says_whether_it_ended():
    walled = result_of({2: [], 3: []}, status=Status.WALL, coverage=0.125)
    lead = re.search(r'<p class="lead">(.*?)</p>', package.report(walled))[1]
    assert lead.endswith("The search did not end: it covered 12.5% of the space.")


def test_nothing_is_requested_and_only_own_scripts_run(page):
    parsed = Parsed(page)
    policy = policy_of(parsed)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = [text for kind, text in parsed.scripts if kind is None]
    hashes = set()
    for text in scripts:
        hashes.add(
            "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        )
    assert hashes == set(re.findall(r"'sha256-[^']*'", policy))
    assert len(scripts) == 2
    for tag, attrs in parsed.elements:
        assert tag not in {"img", "link", "iframe", "object", "base"}
        assert not any(name.startswith("on") or name in {"src", "style"} for name in attrs)
        assert attrs.get("href", "#").startswith("#")


def test_every_picture_has_its_numbers_in_a_table(page):
    parsed = Parsed(page)
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("figure") == tags.count("details") == 7
    # The groups have a table without a picture.
    assert tags.count("table") == 8
    figures = [json.loads(text) for kind, text in parsed.scripts if kind == "application/json"]
    assert len(figures) == 8
    assert all("title" not in figure.get("layout", {}) for figure in figures)


def test_the_page_is_small_and_always_the_same(result, picks):
    page = package.report(result, picks=picks)
    assert len(page.encode()) < 6_000_000
    assert page == package.report(result, picks=picks)


def test_hostile_names_are_text():
    result, picks, outcome = hostile_run()
    page = package.report(result, picks=picks, outcome=outcome)
    parsed = Parsed(page)
    tags = {tag for tag, _ in parsed.elements}
    assert "b" in tags
    assert not [attrs for tag, attrs in parsed.elements if tag == "b" and attrs]
    assert len([kind for kind, _ in parsed.scripts if kind is None]) == 2
    for name in HOSTILE[:3]:
        assert name in parsed.text
    own = page.replace(next(text for kind, text in parsed.scripts if len(text) > 1_000_000), "")
    assert not set("\u2028\u2029\u202e\u202c") & set(own)
    assert "49" not in re.findall(r"<li>(.*?)</li>", page)[-1]


def test_json_cannot_end_its_script():
    text = in_script(json.dumps("</script><!--&\u2028"))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == "</script><!--&\u2028"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/data/prices.csv: no bar", "prices.csv: no bar"),
        ("C:\\Users\\me\\prices.csv: no bar", "prices.csv: no bar"),
        ("open/close of 2020-01-03 and/or more", "open/close of 2020-01-03 and/or more"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("reads '/srv/x/y.toml'", "reads 'y.toml'"),
        ("</script><script>x</script>", "</script><script>x</script>"),
    ],
)
def test_folders_stay_at_home(text, shown):
    assert without_folders(text) == shown


def test_a_page_is_written_whole_or_not_at_all(result, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("former")
    package.report(result, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(InputError, match="choose a file that can be written"):
        package.report(result, tmp_path / "nowhere" / "page.html")


def test_other_things_have_no_page():
    with pytest.raises(InputError, match=r"^report: str has no page; give the result of a search"):
        package.report("run")


def test_the_command_writes_a_page_of_a_stored_run(mp2, here):
    assert mp2("search", WEEK, *RULES, "--replicates=0")[0] == 0
    code, out, _ = mp2("report", "last", "-o", "page.html", "--json")
    document = strict_json(out)
    page = (here / "page.html").read_text(encoding="utf-8")
    assert (code, document["kind"], document["output"]) == (0, "run", "page.html")
    assert document["name"] in page
    assert str(here) not in page
    assert str(WEEK.parent) not in page
    code, out, _ = mp2("report", document["name"])
    assert out.splitlines()[-1] == f"Written to mp2-{document['name']}.html."
