"""The page in a real browser: whatever is done, the list of files, the marked sample and the answer are of one question."""

import re
import threading
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from helpers.browsing import assert_accessible
from helpers.images import write_image
from helpers.serving import ABOUT, Stub, serving

from covid19.data.images import encode_image
from covid19.inference.answer import Answer
from covid19.inference.heatmaps import transparent_heat_map
from covid19.inference.server.app import Sample
from covid19.inference.server.uploads import Reply
from covid19.model.shift import MIN_BATCH_IMAGES, ShiftResult

HEAT = encode_image(transparent_heat_map(np.eye(7, dtype=np.float32)), ".png")
SHORTCUT = ABOUT | {"status": "SHORTCUT", "verdict": "Audit: explained. The score needs no lungs.", "threshold": 0.855}
# What the model of these tests says of a picture of one shade, by that shade.
COVID, BELOW_THRESHOLD, REFUSED, TRAINED = 50, 100, 150, 200


class ShadeModel(Stub):
    """Answers by the shade of a picture; can be told to wait before it does."""

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()
        self.go_on.set()

    def ask(self, image):
        assert self.go_on.wait(20)
        shade = int(image.pixels.mean().round(-1))
        if shade == REFUSED:
            return Reply(Answer("", "", {}, 99.9, "not like the training images"), b"", None)
        label, probability = ("normal", 0.8) if shade == BELOW_THRESHOLD else ("covid", 0.9)
        known = "same file" if shade == TRAINED else ""
        answer = Answer(
            "", label, {"covid": probability, "normal": 1 - probability}, 10.0, "", 0.25 if shade == COVID else None, known
        )
        return Reply(answer, HEAT, None)


class ShiftedModel(ShadeModel):
    """Finds that every batch differs from the training images, whatever it is."""

    def ask(self, image):
        return super().ask(image)._replace(features=np.zeros(512, np.float32))

    def compare(self, features, predicted):
        words = f"Not to be trusted (covid is predicted for {predicted.positives})."
        return ShiftResult(len(features), 0.001, predicted, None, None, True, "Not to be trusted.", words)


def picture(shade, side=60):
    return np.full((side, side), shade, np.uint8)


def sample(name, shade):
    content = encode_image(picture(shade), ".png")
    return Sample(name, name, content, encode_image(picture(shade), ".jpg"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images by what the model says of them, and a file that is none."""
    folder = tmp_path_factory.mktemp("files")
    shades = {"covid": COVID, "below": BELOW_THRESHOLD, "refused": REFUSED, "trained": TRAINED}
    made = {name: write_image(folder / f"{name}.png", picture(shade)) for name, shade in shades.items()}
    (folder / "broken.png").write_text("no image")
    return SimpleNamespace(**made, broken=folder / "broken.png")


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide", "phone"])
def screen(request, browser):
    """A browser's window; nothing in it may be wider than it is."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.set_default_timeout(10_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if "401" not in message.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    page.close()


def opened(screen, page):
    screen.goto(page.url)
    screen.locator("#verdict:not([hidden])").wait_for()
    return screen


@pytest.fixture
def served():
    with serving(ShadeModel(), samples=[sample("first.png", COVID), sample("second.png", BELOW_THRESHOLD)]) as page:
        yield page


@pytest.fixture
def shown(screen, served):
    return opened(screen, served)


@pytest.fixture
def shortcut(screen):
    """The page of a model whose score needs no lungs."""
    with serving(ShadeModel(), about=SHORTCUT, withhold_labels=True) as page:
        yield opened(screen, page)


def choose(page, *paths):
    page.locator("#files").set_input_files(list(paths))


def assert_consistent(page, *names, sample=None):
    """The list, the answer and the samples show one question, whose answer is there, and the field takes the next."""
    page.locator("#answer :is(.card, .answers)").wait_for()
    assert page.locator("#names li").all_inner_texts() == list(names)
    assert page.locator("#chosen-title").inner_text() == ("1 file" if len(names) == 1 else f"{len(names)} files")
    assert page.locator("#answer .file").all_inner_texts() == list(names)
    assert page.locator('.sample[aria-pressed="true"]').all_inner_texts() == ([sample] if sample else [])
    assert page.locator("#files").input_value() == ""


def assert_empty(page):
    assert page.locator("#answer .empty").count() == 1
    assert page.locator("#chosen").is_hidden()
    assert page.locator("#names li").count() == 0
    assert page.locator('.sample[aria-pressed="true"]').count() == 0
    assert page.locator("#answer .file").count() == 0


def test_the_list_the_answer_and_the_samples_always_show_the_same(shown, files):
    assert_empty(shown)
    choose(shown, files.covid)
    assert_consistent(shown, "covid.png")
    choose(shown, files.below)
    assert_consistent(shown, "below.png")
    assert shown.locator(".label").inner_text() == "normal"
    choose(shown, files.below)
    assert_consistent(shown, "below.png")
    shown.get_by_role("button", name="Clear").click()
    assert_empty(shown)
    shown.get_by_role("button", name="first.png").click()
    assert_consistent(shown, "first.png", sample="first.png")
    choose(shown, files.covid, files.broken, files.refused)
    assert_consistent(shown, "covid.png", "broken.png", "refused.png")
    shown.get_by_role("button", name="second.png").click()
    assert_consistent(shown, "second.png", sample="second.png")
    choose(shown, files.broken)
    assert_consistent(shown, "broken.png")
    assert "Cannot be read" in shown.locator(".flag").inner_text()
    choose(shown, files.covid)
    assert_consistent(shown, "covid.png")
    assert shown.locator(".flag").count() == 0


def test_a_newer_question_takes_the_place_of_one_that_is_not_answered_yet(served, shown, files):
    model = served.model
    model.go_on.clear()
    choose(shown, files.covid)
    shown.locator(".waiting").wait_for()
    assert shown.locator("#names li").all_inner_texts() == ["covid.png"]
    shown.get_by_role("button", name="second.png").click()
    shown.get_by_text("Reading second.png").wait_for()
    assert shown.locator("#names li").all_inner_texts() == ["second.png"]
    model.go_on.set()
    assert_consistent(shown, "second.png", sample="second.png")
    model.go_on.clear()
    choose(shown, files.covid)
    shown.get_by_text("Reading covid.png").wait_for()
    shown.get_by_role("button", name="Clear").click()
    model.go_on.set()
    shown.wait_for_timeout(500)
    assert_empty(shown)


def test_what_cannot_be_sent_is_said_and_the_list_still_names_it(shown, files, tmp_path):
    choose(shown, files.covid)
    assert_consistent(shown, "covid.png")
    shown.locator("#files").set_input_files([{"name": f"{n}.png", "mimeType": "image/png", "buffer": b""} for n in range(101)])
    shown.get_by_text("101 files were chosen; send 100 at most at a time.").wait_for()
    assert shown.locator("#names li").count() == 101
    assert shown.locator("#answer .file").count() == 0
    choose(shown, files.covid)
    assert_consistent(shown, "covid.png")


def test_a_refused_picture_shows_no_probability(shown, files):
    choose(shown, files.refused)
    assert_consistent(shown, "refused.png")
    assert shown.locator(".flag").inner_text() == "Not like the training images. No label is given."
    assert shown.locator(".label, .bars, .heat, figure:nth-child(2)").count() == 0
    assert re.search(r"\b[01]\.\d\d\d\b", shown.locator("#answer").inner_text()) is None
    choose(shown, files.refused, files.covid)
    assert_consistent(shown, "refused.png", "covid.png")
    refused = shown.locator("tbody tr").first
    assert refused.locator('td[data-name="label"]').inner_text().split()[-1] == "none"
    assert [cell.strip() for cell in refused.locator("td.n").all_inner_texts()] == ["", "", "99.9"]


def test_the_threshold_is_a_tick_on_the_bar_and_a_sentence(shortcut, files):
    choose(shortcut, files.below)
    shortcut.get_by_role("button", name="Show the label all the same").click()
    share, tick = shortcut.locator(".share").first.bounding_box(), shortcut.locator(".tick").bounding_box()
    assert shortcut.locator(".tick").count() == 1
    assert (tick["x"] + tick["width"] / 2 - share["x"]) / share["width"] == pytest.approx(0.855, abs=0.01)
    filled = shortcut.locator(".filled").first.bounding_box()
    assert filled["x"] + filled["width"] < tick["x"]  # covid 0.8 is not enough for covid
    assert shortcut.locator(".label").inner_text() == "normal"


def test_a_shortcut_is_a_red_banner_before_everything_and_a_label_needs_a_click(shortcut, files):
    banner = shortcut.locator("#verdict")
    assert banner.locator("p").all_inner_texts()[:2] == ["Shortcut audit of this model", "SHORTCUT"]
    assert banner.bounding_box()["y"] < shortcut.locator("#drop").bounding_box()["y"]
    red, green, blue = map(int, re.findall(r"\d+", banner.evaluate("element => getComputedStyle(element).backgroundColor"))[:3])
    assert red > 1.4 * max(green, blue)
    choose(shortcut, files.covid)
    shortcut.locator(".withheld").wait_for()
    assert "covid" not in shortcut.locator("#answer").inner_text().replace("covid.png", "")
    assert shortcut.locator(".label, .bars, .heat").count() == 0
    assert_accessible(shortcut)
    shortcut.get_by_role("button", name="Show the label all the same").click()
    status, label = shortcut.locator(".card .status"), shortcut.locator(".label")
    assert label.inner_text() == "covid"
    sizes = [one.evaluate("element => getComputedStyle(element).fontSize") for one in (status, label)]
    assert sizes[0] == sizes[1]
    assert status.bounding_box()["y"] < label.bounding_box()["y"]
    choose(shortcut, files.below)
    shortcut.locator(".withheld").wait_for()  # the next label needs a click of its own
    choose(shortcut, files.covid, files.below)
    shortcut.locator(".answers").wait_for()
    assert shortcut.locator('td[data-name="label"] b').all_inner_texts() == ["withheld", "withheld"]
    assert shortcut.locator(".download").count() == 0
    shortcut.get_by_role("button", name="Show the labels all the same").click()
    assert shortcut.locator('td[data-name="label"] b').all_inner_texts() == ["covid", "normal"]


def test_an_image_that_the_model_was_trained_on_is_marked(shown, files):
    choose(shown, files.trained)
    mark = "The model was trained on this very file: what it says of it means nothing."
    shown.locator(".card").wait_for()
    assert shown.locator(".flag").all_inner_texts() == [mark]
    choose(shown, files.trained, files.covid)
    shown.locator(".answers").wait_for()
    assert [text.strip() for text in shown.locator("td.problem").all_inner_texts()] == [mark, ""]


@pytest.mark.parametrize("withheld", [False, True])
def test_a_shifted_batch_is_marked_also_beside_each_of_its_images(screen, files, withheld):
    with serving(ShiftedModel(), about=SHORTCUT, withhold_labels=withheld) as page:
        opened(screen, page)
        choose(screen, *[files.covid] * MIN_BATCH_IMAGES)
        screen.locator(".answers").wait_for()
        counted = f"Not to be trusted (covid is predicted for {MIN_BATCH_IMAGES})."
        assert screen.locator(".shift").inner_text() == ("Not to be trusted." if withheld else counted)
        assert_accessible(screen)
        screen.locator("tbody tr").first.click()
        assert screen.locator(".shift").count() == 1
        assert screen.locator(".shift").bounding_box()["y"] < screen.locator(".card").bounding_box()["y"]
        choose(screen, files.covid)
        assert_consistent(screen, "covid.png")
        assert screen.locator(".shift").count() == 0
        sent = [("files", ("x.png", files.covid.read_bytes()))] * MIN_BATCH_IMAGES
        told = httpx.post(f"{page.url}/api/predict", files=sent, timeout=60).json()["shift"]
    assert told["words"] == ("Not to be trusted." if withheld else counted)
    assert (told["predicted"] is None) is withheld


def test_the_film_is_shown_as_it_is_and_beside_it_with_the_heat_map(shown, files):
    choose(shown, files.covid)
    shown.locator(".card").wait_for()
    original, heated = shown.locator("figure").all()
    assert original.locator(".heat").count() == 0
    assert heated.locator(".heat").count() == 1
    assert heated.locator(".scale").is_visible()
    assert "25 % of it lies on the lungs." in heated.inner_text()
    left, right = original.bounding_box(), heated.bounding_box()
    assert shown.viewport_size["width"] == 390 or (left["y"] == right["y"] and left["x"] < right["x"])
    assert shown.locator(".label").bounding_box()["y"] < left["y"]
    choose(shown, files.below)
    shown.get_by_text("How much of it lies on the lungs is not known.").wait_for()


def test_a_row_leads_to_its_answer_and_back(shown, files):
    choose(shown, files.covid, files.below, files.broken)
    shown.locator(".answers").wait_for()
    shown.locator("tbody tr").nth(1).locator(".thumbnail").click()
    assert shown.locator(".card .file").inner_text() == "below.png"
    assert shown.locator("#names li").count() == 3
    shown.get_by_role("button", name="Back to all 3 files").click()
    assert_consistent(shown, "covid.png", "below.png", "broken.png")


def test_the_keyboard_alone_is_enough(served, shown, files):
    def press_until(condition, key="Tab", most=40):
        for _ in range(most):
            if shown.evaluate(f"() => {{ const element = document.activeElement; return Boolean({condition}); }}"):
                return
            shown.keyboard.press(key)
        raise AssertionError(f"{condition} was not reached")

    press_until("element.id === 'files'")
    shown.evaluate("document.getElementById('files').addEventListener('click', () => { window.fileDialogs = 1; })")
    shown.keyboard.press("Enter")
    assert shown.evaluate("window.fileDialogs") == 1
    choose(shown, files.covid, files.below)
    shown.locator(".answers").wait_for()
    press_until("element.textContent === 'below.png' && element.tagName === 'BUTTON'")
    shown.keyboard.press("Enter")
    assert shown.locator(".card .file").inner_text() == "below.png"
    assert shown.evaluate("document.activeElement.id") == "back"
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.textContent") == "below.png"
    press_until("element.id === 'clear'", "Shift+Tab")
    shown.keyboard.press("Space")
    assert_empty(shown)
    press_until("element.className === 'sample'")
    shown.keyboard.press("Enter")
    assert_consistent(shown, "first.png", sample="first.png")


def test_no_state_of_the_page_has_a_serious_violation(served, shown, files):
    assert_accessible(shown)
    for paths in ([files.covid], [files.refused], [files.broken], [files.trained], [files.covid, files.refused, files.broken]):
        choose(shown, *paths)
        shown.locator("#answer :is(.card, .answers)").wait_for()
        assert_accessible(shown)
    shown.locator("tbody button").first.click()
    assert_accessible(shown)
    shown.locator("#files").set_input_files([{"name": f"{n}.png", "mimeType": "image/png", "buffer": b""} for n in range(101)])
    shown.locator("#answer > .flag").wait_for()
    assert_accessible(shown)
    served.model.go_on.clear()
    choose(shown, files.covid)
    shown.locator(".waiting").wait_for()
    assert_accessible(shown)
    served.model.go_on.set()
    shown.goto(f"{served.url}/api/docs")
    assert_accessible(shown)


def test_the_question_for_the_token_has_no_serious_violation(screen):
    with serving(ShadeModel(), api_token="a-token") as page:
        screen.goto(page.url)
        screen.get_by_label("This page was started with an API token.").wait_for()
        assert_accessible(screen)
        screen.keyboard.type("wrong")
        screen.keyboard.press("Enter")
        screen.locator("#access-problem:not(:empty)").wait_for()
        assert_accessible(screen)


def test_programs_get_no_withheld_label_unless_they_ask_for_it(files):
    content = {"files": ("x.png", files.covid.read_bytes())}
    with serving(ShadeModel(), about=SHORTCUT, withhold_labels=True) as page:
        plain = httpx.post(f"{page.url}/api/predict?pictures=true&csv=true", files=content).json()
        asked = httpx.post(f"{page.url}/api/predict?labels=true&csv=true", files=content).json()
    (answer,) = plain["answers"]
    assert (answer["label"], answer["probabilities"], answer["heat"]) == ("", {}, "")
    assert answer["problem"] == "the label is withheld"
    assert plain["model"]["labels_withheld"] is True
    assert plain["model"]["status"] == "SHORTCUT"
    assert "0.9" not in plain["csv"]
    assert asked["answers"][0]["label"] == "covid"
