// The page: sends files to /api/predict and shows the answers. Everything that came from a file is set as text, never as HTML.
"use strict";

const find = (id) => document.getElementById(id);
const pageToken = document.querySelector('meta[name="page-token"]');
const input = find("files");
const limits = {
  files: Number(input.dataset.mostFiles), file: Number(input.dataset.mostFileBytes), request: Number(input.dataset.mostBytes),
};
let apiToken = ""; // in memory only: it is gone when the page is closed
let model = null; // what /api/model says
let pending = null; // the request whose answer is awaited; a newer one takes its place
let tableAddress = null; // of the CSV table that is shown

/** An element with text and children; `attributes` are set as attributes, all others are left alone. */
function make(tag, className, children = [], attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...[children].flat().filter((child) => child !== null && child !== ""));
  return element;
}

/** A request with what the page must send along. */
function request(address, options = {}) {
  const headers = { [pageToken.dataset.header]: pageToken.content };
  if (apiToken) headers.Authorization = `Bearer ${apiToken}`;
  return fetch(address, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
}

/** Show elements as the answer, in place of what was there. */
function show(...elements) {
  if (tableAddress) URL.revokeObjectURL(tableAddress);
  tableAddress = null;
  find("answer").replaceChildren(...elements);
}

function showProblem(text) {
  show(make("p", "flag", text, { role: "alert" }));
}

/** Why there is no label, as a sentence. */
function problemOf(answer) {
  if (answer.novelty_percentile === null) return `Cannot be read: ${answer.problem}`;
  return `${answer.problem.charAt(0).toUpperCase()}${answer.problem.slice(1)}: no label is given.`;
}

/** The picture with the heat map over it. */
function pictureOf(answer, className) {
  const picture = make("div", className, make("img", "", [], { src: answer.picture, alt: `The image ${answer.file}` }));
  if (answer.heat) picture.append(make("img", "heat", [], { src: answer.heat, alt: "Where the model looks" }));
  return picture;
}

/** A slider for the strength of a picture's heat map. */
function sliderFor(picture) {
  const slider = make("input", "", [], { type: "range", min: "0", max: "1", step: "0.05", value: "0.5" });
  slider.addEventListener("input", () => { picture.querySelector(".heat").style.opacity = slider.value; });
  return make("label", "slider", [make("span", "", "Heat map (Grad-CAM)"), slider]);
}

function barsOf(answer) {
  return make("dl", "bars", Object.entries(answer.probabilities).map(([name, probability]) => {
    const bar = make("span");
    bar.style.width = `${100 * probability}%`;
    return make("div", name === answer.label ? "bar chosen" : "bar", [
      make("dt", "", name), make("dd", "share", bar, { "aria-hidden": "true" }), make("dd", "n", probability.toFixed(3)),
    ]);
  }));
}

function cardOf(answer) {
  const words = make("div", "words", [
    make("p", "file", answer.file),
    answer.label ? make("p", "label", answer.label) : make("p", "flag", problemOf(answer), { role: "alert" }),
    barsOf(answer),
  ]);
  if (answer.novelty_percentile !== null) {
    const below = answer.label ? `, below the ${model.unlike} from which no label is given` : "";
    words.append(make("p", "novelty", `Novelty: percentile ${answer.novelty_percentile.toFixed(1)} of the distance to the training images${below}.`));
  }
  if (!answer.picture) return make("div", "card", words);
  const picture = pictureOf(answer, "picture");
  return make("div", "card", [make("div", "view", [picture, answer.heat ? sliderFor(picture) : null]), words]);
}

function rowOf(answer) {
  const cell = (name, className, content) => make("td", className, content, { "data-name": name });
  return make("tr", "", [
    make("td", "thumbnail", answer.picture ? pictureOf(answer, "picture small") : []),
    cell("file", "file", answer.file),
    cell("label", "", make("b", "", answer.label || "none")),
    ...model.classes.map((name) => cell(name, "n", name in answer.probabilities ? answer.probabilities[name].toFixed(3) : "")),
    cell("novelty", "n", answer.novelty_percentile === null ? "" : answer.novelty_percentile.toFixed(1)),
    cell("", "problem", answer.problem ? problemOf(answer) : ""),
  ]);
}

function tableOf(answers) {
  const heading = (text, className = "") => make("th", className, text, { scope: "col" });
  return make("table", "answers", [
    make("caption", "", `${answers.length} files`),
    make("thead", "", make("tr", "", [
      make("td"), heading("file"), heading("label"), ...model.classes.map((name) => heading(name, "n")), heading("novelty", "n"), make("td"),
    ])),
    make("tbody", "", answers.map(rowOf)),
  ]);
}

function showAnswers({ answers, csv }) {
  if (answers.length === 1) {
    show(cardOf(answers[0]));
    return;
  }
  show(tableOf(answers));
  tableAddress = URL.createObjectURL(new Blob([csv], { type: "text/csv;charset=utf-8" }));
  const link = make("a", "button download", "Download the table (CSV)", { href: tableAddress, download: "answers.csv" });
  find("answer").append(make("p", "", link));
}

/** Show how far the answers have come; gives a function to say how many are there. */
function showProgress(files) {
  const bar = make("progress", "", [], { max: String(files.length), "aria-label": "Files answered" });
  const text = make("p", "", files.length === 1 ? `Reading ${files[0].name} …` : `Reading ${files.length} files …`);
  show(make("div", "waiting", [text, bar]));
  find("answer").scrollIntoView({ block: "nearest" }); // a sample that was clicked may be far below on a small screen
  return (count) => {
    if (files.length > 1) {
      bar.value = count;
      text.textContent = `${count} of ${files.length} files answered …`;
    }
  };
}

/** The text of a response, and how many of its lines are there so far: each answer has one. */
async function readLines(response, told) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let lines = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
    lines += value.split("\n").length - 1;
    told(Math.max(0, lines - 1));
  }
}

/** Why files cannot be sent, or nothing. */
function whyTooMuch(files) {
  const large = files.find((file) => file.size > limits.file);
  if (large) return `${large.name} is larger than ${limits.file / 1e6} MB.`;
  if (files.length > limits.files) return `${files.length} files were chosen; send ${limits.files} at most at a time.`;
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return bytes > limits.request ? `The files have more than ${limits.request / 1e6} MB together: send fewer at a time.` : "";
}

/** Send files and show what is answered. The chosen sample is marked, so that what is marked is what is shown. */
async function ask(files, sample = null) {
  if (!files.length) return;
  if (pending) pending.abort();
  const own = new AbortController();
  pending = own;
  for (const button of find("samples").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === sample));
  const problem = whyTooMuch(files);
  if (problem) {
    showProblem(problem);
    return;
  }
  const told = showProgress(files);
  try {
    if (!model && !(await load())) {
      if (pending === own) showProblem("The page has no access: give the token first.");
      return;
    }
    const body = new FormData();
    for (const file of files) body.append("files", file, file.name);
    const response = await request("/api/predict?pictures=true&csv=true", { method: "POST", body, signal: own.signal });
    if (!response.ok) {
      if (response.status === 401) askForToken();
      throw new Error((await response.json()).error);
    }
    const answers = JSON.parse(await readLines(response, (count) => { if (pending === own) told(count); }));
    if (pending === own) showAnswers(answers);
  } catch (error) {
    if (pending === own) showProblem(error instanceof TypeError || error instanceof SyntaxError ? "The program cannot be reached: is it still running?" : `Not answered: ${error.message}.`);
  }
}

/** Fetch a sample and send it as any other file. */
async function askSample(number, button) {
  try {
    const response = await request(`/api/samples/${number}`);
    if (!response.ok) throw new Error();
    await ask([new File([await response.blob()], model.samples.items[number].name)], button);
  } catch {
    showProblem("The sample cannot be fetched: is the program still running?");
  }
}

function showModel() {
  find("title").textContent = `Which does this X-ray look like: ${model.classes.join(" or ")}?`;
  find("about").textContent = model.description;
  find("about").hidden = false;
  find("samples-title").textContent = model.samples.title;
  find("samples-title").hidden = !model.samples.items.length;
  find("samples").replaceChildren(...model.samples.items.map((sample, number) => {
    const picture = make("img", "", [], { src: sample.picture, alt: "" });
    const button = make("button", "sample", [picture, make("span", "", sample.caption)], { type: "button", "aria-pressed": "false" });
    button.addEventListener("click", () => askSample(number, button));
    return make("li", "", button);
  }));
}

function askForToken() {
  find("access").hidden = false;
  find("access-problem").textContent = apiToken ? "That is not the token that the page was started with." : "";
  find("api-token").focus();
}

/** Ask what the model is; whether the page may know. */
async function load() {
  const response = await request("/api/model");
  if (response.status === 401) {
    askForToken();
    return false;
  }
  if (!response.ok) throw new Error((await response.json()).error);
  model = await response.json();
  find("access").hidden = true;
  showModel();
  return true;
}

async function start() {
  try {
    await load();
  } catch (error) {
    showProblem(error instanceof TypeError ? "The program cannot be reached: is it still running?" : error.message);
  }
}

find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  apiToken = find("api-token").value.trim();
  find("api-token").value = "";
  start();
});
input.addEventListener("change", () => {
  const files = [...input.files];
  input.value = ""; // ready for the next files, also for the same again
  ask(files);
});
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault()); // a file dropped beside the field does not replace the page
}
find("drop").addEventListener("dragover", () => find("drop").classList.add("over"));
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  find("drop").classList.remove("over");
  ask([...event.dataTransfer.files]);
});
const inAddress = new URLSearchParams(location.hash.slice(1)).get("token");
if (inAddress) {
  apiToken = inAddress;
  history.replaceState(null, "", location.pathname); // out of the address and the history
}
start();
