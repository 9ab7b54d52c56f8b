"""The card of a version: its text, what is counted beside it, and both of its exports."""

import csv
import hashlib
import io
import json
import re

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from app.services import datasets
from app.services.datasets import card_facts, cards
from app.services.datasets.card_markdown import markdown, plain
from app.services.datasets.croissant import COLUMNS, croissant, manifest_csv
from models import AuditEvent, Image, RefusedFile, RefusedKind, Split
from models.specs.card import MAX_TEXT, CardText
from models.specs.changing import Exclude, MendLeaks, Move, Relabel, Resplit, Restore, Thin
from tests import health_data

TEXT = CardText(
    source="University hospital", licence="CC BY 4.0", consent="Ethics vote 12/34", population="Adults",
    acquisition="3 T scanner", known_problems="- few women\n- one site", contact="The lab", citation="The lab (2026).",
)  # fmt: skip
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # no query of its own
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"


def images(session, version) -> list[Image]:
    return list(session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)))


def fact(session, version, what: str) -> str:
    return dict(card_facts.facts(session, version))[what]


def document_of(session, version) -> dict:
    return croissant(session, cards.of(session, version))


class TestText:
    def test_a_browsers_line_end_counts_once(self):
        text = CardText(source="a\r\n" * (MAX_TEXT // 2 - 1) + "ab")
        assert len(text.source) == MAX_TEXT
        assert "\r" not in text.source

    def test_blanks_around_it_are_no_statement(self):
        assert CardText(source=" \r\n ").source == ""

    @pytest.mark.parametrize(
        ("given", "said"),
        [("x" * (MAX_TEXT + 1), "at most 5000 characters"), ("a\0b", "holds the character NUL"), (5, "valid string")],
    )
    def test_what_cannot_be_kept_is_refused(self, given, said):
        with pytest.raises(ValidationError, match=said):
            CardText(source=given)


class TestWrite:
    @pytest.mark.parametrize(
        "asked",
        [Resplit(seed=3), Thin(), MendLeaks(how="move"), MendLeaks(how="exclude")],
        ids=lambda asked: f"{asked.action} {getattr(asked, 'how', '')}",
    )
    def test_every_change_takes_the_text_to_the_new_version(self, session, who, version, asked):
        cards.write(session, who, version, TEXT)
        first, last = images(session, version)[0], images(session, version)[-2]
        assert (first.split, last.split) == (Split.TRAIN, Split.TEST)
        last.pixel_sha256 = first.pixel_sha256
        session.flush()
        newer = datasets.change(session, who, version.dataset, asked)
        assert (newer.number, cards.of(session, newer).text) == (2, TEXT)

    @pytest.mark.parametrize("action", [Exclude, Relabel, Move])
    def test_changes_of_single_images_take_it_too(self, session, who, version, action):
        cards.write(session, who, version, TEXT)
        values = {Exclude: {}, Relabel: {"label": "ring"}, Move: {"split": Split.TEST}}[action]
        asked = action(image_ids=[images(session, version)[0].id], **values)
        newer = datasets.change(session, who, version.dataset, asked)
        assert (newer.number, cards.of(session, newer).text) == (2, TEXT)

    def test_each_version_keeps_its_own_and_going_back_shows_it(self, session, who, version):
        ids = [image.id for image in images(session, version)]
        newer = datasets.change(session, who, version.dataset, Exclude(image_ids=ids[:1]))
        cards.write(session, who, newer, TEXT)
        restored = datasets.change(session, who, version.dataset, Restore(number=1))
        assert cards.of(session, restored).text == CardText()
        assert cards.of(session, newer).text == TEXT

    def test_changes_no_version_and_stands_in_the_audit_trail(self, session, who, version):
        before = version.manifest_sha256
        cards.write(session, who, version, TEXT)
        assert [each.number for each in datasets.versions(session, version.dataset)] == [1]
        assert version.manifest_sha256 == before
        assert session.scalars(select(AuditEvent.action)).all()[-1] == "describe on the card of version 1"


class TestCard:
    def test_names_what_nobody_stated(self, session, who, version):
        assert cards.of(session, version).not_stated == list(CardText.model_fields)
        cards.write(session, who, version, TEXT.model_copy(update={"licence": ""}))
        assert cards.of(session, version).not_stated == ["licence"]

    def test_counts_by_class_and_split(self, session, version):
        card = cards.of(session, version)
        assert card.counts == [("disc", [7, 1, 2, 10]), ("ring", [7, 1, 2, 10])]
        assert card.totals == [14, 2, 4, 20]

    def test_history_follows_the_parents_and_not_the_numbers(self, session, who, version):
        ids = [image.id for image in images(session, version)]
        datasets.change(session, who, version.dataset, Exclude(image_ids=ids[:1]))
        datasets.change(session, who, version.dataset, Restore(number=1))
        third = datasets.change(session, who, version.dataset, Exclude(image_ids=ids[1:2]))
        assert [each.number for each in cards.of(session, third).history] == [3, 1]

    def test_without_a_check_there_are_no_findings_rather_than_none_found(self, session, who, version):
        card = cards.of(session, version)
        assert (card.findings, card.baselines) == (None, None)
        health_data.give(session, who, version)
        assert len(cards.of(session, version).findings) == 4


class TestFacts:
    def test_are_in_words(self, session, who, version):
        version.leaks = {"patients": 1, "identical": 0, "near": 0}
        version.layout = {"seed": 4, "split_by": "blocks", "percent": {"train": 60, "val": 20, "test": 20}}
        rows = images(session, version)
        rows[0].group, rows[1].group, rows[2].conversion, rows[3].width = "p1", "p2", "window", 40
        rows[5].pixel_sha256 = rows[4].pixel_sha256
        session.add(RefusedFile(version_id=version.id, path="x", kind="broken", reason="It ends too early."))
        session.flush()
        assert dict(card_facts.facts(session, version)) == {
            "Images": "20 of 2 classes", "Colour": "every image is grey", "Width": "16 to 40 px", "Height": "16 px",
            "Colour modes of the files": "L (20)", "Bits of the files": "8 bit (20)",
            "Conversion to 8 bit": "none needed (19); window (1)",
            "Splits": "contiguous runs of each class's file names, 60 / 20 / 20 %, seed 4",
            "Patients": "2 known; 18 images without", "Identical pixels": "1 image repeats an earlier one",
            "Leaks between splits": "1 patient", "Files left out": "1 unreadable",
            "Looks at the test images": "0 times; open", "SHA-256 of the manifest": version.manifest_sha256,
        }  # fmt: skip

    def test_every_kind_of_file_left_out_has_words(self):
        assert set(card_facts.LEFT_OUT) == set(RefusedKind)

    def test_splits_of_a_changed_version_point_to_its_history(self, session, who, version):
        image_id = images(session, version)[0].id
        newer = datasets.change(session, who, version.dataset, Move(image_ids=[image_id], split=Split.TEST))
        assert fact(session, newer, "Splits") == "at the import at random, seed 0; since then see the history"

    def test_splits_of_images_that_were_dealt_anew_are_those(self, session, who, version):
        dealt = datasets.change(session, who, version.dataset, Resplit(seed=3, train_percent=20, val_percent=10))
        newer = datasets.change(session, who, version.dataset, Exclude(image_ids=[images(session, dealt)[0].id]))
        how = "at random, patients and look-alikes together, 20 / 10 / 70 %, seed 3"
        for each in (dealt, newer):
            assert fact(session, each, "Splits") == f"split anew {how}; since then see the history"
        assert (newer.layout["kind"], version.layout) == ("class folders", {"kind": "class folders", "seed": 0})

    def test_rare_conversions_are_counted_together(self, session, version):
        for place, image in enumerate(images(session, version)[:12]):
            image.conversion = f"window {place:02}"
        session.flush()
        words = fact(session, version, "Conversion to 8 bit")
        assert words.startswith("none needed (8); window 00 (1); ")
        assert words.endswith("; and 5 other ways")

    def test_leaks_that_nobody_looked_for_are_not_none(self, session, version):
        assert fact(session, version, "Leaks between splits") == "not looked for"


@ON_SQLITE
class TestMarkdown:
    def test_says_plainly_what_is_not_stated_and_not_checked(self, session, version):
        text = markdown(cards.of(session, version))
        assert text.count("*Not stated.*") == len(CardText.model_fields)
        assert text.count("*No check of this version has ended.*") == 2
        assert text.startswith("# shapes\n\nDatasheet of version 1, made on ")

    def test_what_a_person_says_comes_first_and_quoted(self, session, who, version):
        cards.write(session, who, version, TEXT.model_copy(update={"source": "Ours\n\n## Measured\n| no | leaks |"}))
        health_data.give(session, who, version)
        text = markdown(cards.of(session, version))
        heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert heads == [
            "Source", "Licence", "Consent", "Population", "Acquisition", "Known problems", "Contact", "Citation",
            "Classes and splits", "Measured", "Trivial baselines", "Findings of the check", "History",
        ]  # fmt: skip
        assert "> Ours\n>\n> ## Measured\n> | no | leaks |\n" in text
        assert "> - few women\n> - one site\n" in text

    def test_tables_hold_the_figures(self, session, who, version):
        health_data.give(session, who, version)
        text = markdown(cards.of(session, version))
        assert (
            "| class | train | val | test | all |\n| --- | ---: | ---: | ---: | ---: |\n| disc | 7 | 1 | 2 | 10 |\n"
            in text
        )
        assert "| all classes | 14 | 2 | 4 | 20 |\n" in text
        assert "| 4 numbers | random forest | 75.0 % | 70.0 % to 80.0 % |\n" in text
        assert "Chance is 50.0 %" in text
        assert "1. **Serious: Something leaks.** It means something. What to do: Do something.\n2. **Serious: " in text
        assert f"| SHA-256 of the manifest | {version.manifest_sha256} |\n" in text
        assert re.search(rf"\| 1 \| Import \| \d{{4}}-\d\d-\d\d \| {version.manifest_sha256[:12]} \| 20 \|\n$", text)

    def test_a_check_that_could_measure_no_baseline_says_why(self, session, who, version):
        health_data.give(session, who, version)
        baselines = version.health["baselines"] | {"reason": "Too few images.", "models": []}
        version.health = version.health | {"baselines": baselines, "findings": []}
        text = markdown(cards.of(session, version))
        assert "## Trivial baselines\n\nToo few images.\n" in text
        assert "## Findings of the check\n\nNothing was found that needs a look.\n" in text


class TestPlain:
    @pytest.mark.parametrize(
        ("given", "shown"),
        [
            ("a|b", r"a\|b"), ("a\nb  c", "a b c"), ("no_tumor", "no_tumor"), ("_x_ *y*", r"\_x\_ \*y\*"), (r"a\|b", r"a\\\|b"),
            ("<b>`[1](u)", r"\<b\>\`\[1\](u)"),
        ],
    )  # fmt: skip
    def test_names_mean_nothing_to_markdown(self, given, shown):
        assert plain(given) == shown


class TestManifest:
    def test_has_a_row_for_each_image_and_quotes_what_needs_it(self, session, version):
        version.classes = ['a|"b",\nc', "ring"]
        rows = list(csv.DictReader(io.StringIO(manifest_csv(session, version).decode(), newline="")))
        assert len(rows) == 20
        assert list(rows[0]) == list(COLUMNS)
        assert rows[0]["label"] == 'a|"b",\nc'
        assert (rows[0]["split"], rows[0]["group"], rows[0]["width"]) == ("train", "", "16")
        assert rows[0]["pixel_sha256"] == images(session, version)[0].pixel_sha256

    def test_is_the_same_each_time(self, session, version):
        assert manifest_csv(session, version) == manifest_csv(session, version)


@ON_SQLITE
class TestCroissant:
    """The rules that mlcroissant 1.1.1 checks, and that the document kept to when it was held against it."""

    def test_has_what_the_specification_demands(self, session, who, version):
        cards.write(session, who, version, TEXT)
        document = document_of(session, version)
        assert document["@type"] == "sc:Dataset"
        assert CONFORMS_TO in document["conformsTo"]
        assert document["version"] == "1.0.0"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["datePublished"])
        assert document["url"] == f"/datasets/{version.dataset_id}/card?version=1"
        assert document["license"] == {"@type": "sc:CreativeWork", "name": "CC BY 4.0"}
        assert document["creator"] == {"@type": "sc:Organization", "name": "The lab"}
        assert document["citeAs"] == "The lab (2026)."
        assert document["rai:dataCollection"] == "Population: Adults\nAcquisition: 3 T scanner"
        assert json.loads(json.dumps(document)) == document

    def test_every_word_that_it_uses_is_in_its_context(self, session, who, version):
        cards.write(session, who, version, TEXT)
        document = document_of(session, version)
        prefixes = {name for name, meaning in document["@context"].items() if str(meaning).endswith("/")}
        used = {name.split(":")[0] for name in document if ":" in name}
        assert used <= prefixes
        assert {"recordSet", "citeAs", "conformsTo", "key", "references"} <= document["@context"].keys()

    def test_what_nobody_stated_is_left_out_and_said_in_words(self, session, version):
        document = document_of(session, version)
        assert not {"license", "creator", "citeAs", "rai:dataLimitations"} & document.keys()
        assert document["description"].endswith(
            "Not stated: Source, Licence, Consent, Population, Acquisition, Known problems, Contact, Citation."
        )

    @pytest.mark.parametrize(
        ("given", "licence"),
        [
            ("https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by/4.0/"),
            (
                "CC0 (https://example.org/zero).",
                {
                    "@type": "sc:CreativeWork",
                    "name": "CC0 (https://example.org/zero).",
                    "url": "https://example.org/zero",
                },
            ),
        ],
    )
    def test_a_licences_address_is_found(self, session, who, version, given, licence):
        cards.write(session, who, version, CardText(licence=given))
        assert document_of(session, version)["license"] == licence

    def test_known_problems_and_findings_are_limitations(self, session, who, version):
        cards.write(session, who, version, CardText(known_problems="One site."))
        health_data.give(session, who, version)
        found = document_of(session, version)["rai:dataLimitations"]
        assert found[0] == "One site."
        assert len(found) == 4  # two serious findings and a warning; the note is none
        assert found[1] == "Something leaks. It means something."

    def test_describes_the_manifest_that_lies_beside_it(self, session, version):
        (file,) = document_of(session, version)["distribution"]
        content = manifest_csv(session, version)
        assert file["contentUrl"] == file["@id"] == "manifest.csv"
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"

    def test_each_field_names_a_column_and_each_reference_a_field(self, session, version):
        document = document_of(session, version)
        fields = {field["@id"]: field for each in document["recordSet"] for field in each["field"]}
        ids = [each["@id"] for each in [*document["recordSet"], *document["distribution"], *fields.values()]]
        assert len(set(ids)) == len(ids)
        assert {each["key"]["@id"] for each in document["recordSet"]} <= fields.keys()
        sources = [field["source"] for field in fields.values() if "source" in field]
        assert [source["extract"]["column"] for source in sources] == list(COLUMNS)
        assert {source["fileObject"]["@id"] for source in sources} == {"manifest.csv"}
        assert [f["references"]["field"]["@id"] for f in fields.values() if "references" in f] == [
            "classes/name", "splits/name",
        ]  # fmt: skip

    def test_classes_and_splits_stand_in_it_as_they_are_called(self, session, version):
        version.classes = ['a|"b",\nc', "ring"]
        sets = {each["@id"]: each for each in document_of(session, version)["recordSet"]}
        assert [row["classes/name"] for row in sets["classes"]["data"]] == version.classes
        assert {row["splits/name"] for row in sets["splits"]["data"]} == {str(split) for split in Split}
