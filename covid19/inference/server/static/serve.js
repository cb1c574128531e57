// The page: sends files to /api/predict and shows the answers.
//
// All that is shown of a question (the list of files, the marked sample, the answer) is drawn by `render` from one `state`,
// which only `change` replaces: the three can never belong to different questions.
import { bannerOf, cardOf, make, makeButton, tableOf } from "./view.js";

const find = (id) => document.getElementById(id);
const pageToken = document.querySelector('meta[name="page-token"]');
const input = find("files");
const limits = {
  files: Number(input.dataset.mostFiles), file: Number(input.dataset.mostFileBytes), request: Number(input.dataset.mostBytes),
};
const UNREACHABLE = "The program cannot be reached: is it still running?";
// Nothing asked. `phase` is empty, waiting, answered or failed; `names` are those of the files that were asked about; `sample`
// is the number of the sample that they are, or null; `opened` is the number of the answer that is shown alone, or null.
const NOTHING = {
  phase: "empty", names: [], sample: null, done: 0, answers: [], csv: "", shift: null, problem: "", opened: null, revealed: false,
};

let apiToken = ""; // in memory only: it is gone when the page is closed
let model = null; // what /api/model says
let state = NOTHING;
let pending = null; // ends the request whose answer is awaited; a newer question takes its place
let tableAddress = null; // of the CSV table that is shown

/** A request with what the page must send along. */
function request(address, options = {}) {
  const headers = { [pageToken.dataset.header]: pageToken.content };
  if (apiToken) headers.Authorization = `Bearer ${apiToken}`;
  return fetch(address, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
}

function change(changes) {
  state = { ...state, ...changes };
  render();
}

function render() {
  if (tableAddress) URL.revokeObjectURL(tableAddress);
  tableAddress = null;
  find("chosen").hidden = !state.names.length;
  find("chosen-title").textContent = state.names.length === 1 ? "1 file" : `${state.names.length} files`;
  const names = find("names");
  names.replaceChildren(...state.names.map((name) => make("li", "", name)));
  if (names.scrollHeight > names.clientHeight) names.tabIndex = 0; // so that the keyboard can scroll it
  else names.removeAttribute("tabindex");
  find("samples").querySelectorAll("button").forEach((button, number) => {
    button.setAttribute("aria-pressed", String(number === state.sample));
  });
  find("announcement").textContent = announcementOf();
  find("answer").replaceChildren(...answerOf().filter((element) => element !== null));
}

/** What a screen reader says when the state changes. */
function announcementOf() {
  if (state.phase === "waiting") return "Reading.";
  if (state.phase !== "answered") return "";
  if (state.answers.length > 1) return `${state.answers.length} files answered.`;
  const [{ file, label }] = state.answers;
  return `${file}: ${label ? (state.revealed ? label : "the label is withheld") : "no label"}.`;
}

/** What stands in the place of the answer. */
function answerOf() {
  if (state.phase === "empty") return [make("p", "empty muted", "The answer appears here. Nothing that is sent is kept.")];
  if (state.phase === "failed") return [make("p", "flag", state.problem, { role: "alert" })];
  if (state.phase === "waiting") return [waitingOf()];
  const context = { model, revealed: state.revealed, onReveal: reveal, onOpen: open };
  const { shift, revealed } = state;
  const alarm = shift?.shifted ? make("p", "flag shift", revealed ? shift.words : shift.finding, { role: "alert" }) : null;
  if (state.answers.length === 1) return [cardOf(state.answers[0], context)];
  if (state.opened !== null) {
    const back = makeButton("link", `Back to all ${state.answers.length} files`, () => open(null), { id: "back" });
    return [make("p", "", back), alarm, cardOf(state.answers[state.opened], context)];
  }
  return [alarm, ...tableOf(state.answers, context), model.labels_withheld && !state.revealed ? null : downloadOf()];
}

function downloadOf() {
  tableAddress = URL.createObjectURL(new Blob([state.csv], { type: "text/csv;charset=utf-8" }));
  return make("p", "", make("a", "button download", "Download the table (CSV)", { href: tableAddress, download: "answers.csv" }));
}

function waitingOf() {
  const count = state.names.length;
  const several = state.done ? `${state.done} of ${count} files answered …` : `Reading ${count} files …`;
  const attributes = { max: String(count), "aria-label": "Files answered", ...(count > 1 ? { value: String(state.done) } : {}) };
  return make("div", "waiting", [make("p", "", count === 1 ? `Reading ${state.names[0]} …` : several), make("progress", "", [], attributes)]);
}

/** Show one answer alone, or all of them again, and take the keyboard there. */
function open(number) {
  const before = state.opened;
  change({ opened: number });
  if (number !== null) find("back").focus();
  else find("answer").querySelectorAll("tbody button")[before]?.focus();
}

/** Show labels that are withheld; until the next question. */
function reveal() {
  change({ revealed: true });
  find("answer").focus();
}

/** Begin a question, which ends the one before; gives what tells whether it is still the one that is asked. */
function begin(names, sample) {
  pending?.abort();
  pending = new AbortController();
  change({ ...NOTHING, phase: "waiting", names, sample, revealed: !model?.labels_withheld });
  find("answer").scrollIntoView({ block: "nearest" }); // a sample that was clicked may be far below on a small screen
  return pending.signal;
}

function clear() {
  pending?.abort();
  change(NOTHING);
  input.focus();
}

/** The text of a response, and how many of its lines are there so far: each answer has one. */
async function readLines(response, tell) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let lines = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
    lines += value.split("\n").length - 1;
    tell(Math.max(0, lines - 1));
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

/** Send files; the answers as /api/predict gives them. */
async function send(files, signal) {
  const problem = whyTooMuch(files);
  if (problem) throw new Error(problem);
  if (!model && !(await load())) throw new Error("The page has no access: give the token first.");
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  const response = await request("/api/predict?pictures=true&csv=true&labels=true", { method: "POST", body, signal });
  if (!response.ok) {
    if (response.status === 401) askForToken();
    throw new Error(`Not answered: ${(await response.json()).error}.`);
  }
  const count = files.length;
  const tell = (done) => { if (!signal.aborted) change({ done: Math.min(done, count) }); };
  return JSON.parse(await readLines(response, tell));
}

/** Ask about files and show what is answered, or why nothing is. `getFiles` is called when the question has begun. */
async function ask(names, sample, getFiles) {
  const signal = begin(names, sample);
  try {
    const { answers, csv, shift = null } = await send(await getFiles(signal), signal);
    if (!signal.aborted) change({ phase: "answered", answers, csv, shift, revealed: !model.labels_withheld });
  } catch (error) {
    const broken = error instanceof TypeError || error instanceof SyntaxError;
    if (!signal.aborted) change({ phase: "failed", problem: broken ? UNREACHABLE : error.message });
  }
}

function askFiles(files) {
  if (files.length) ask(files.map((file) => file.name), null, () => files);
}

function askSample(number) {
  const { name } = model.samples.items[number];
  ask([name], number, async (signal) => {
    const response = await request(`/api/samples/${number}`, { signal });
    if (!response.ok) throw new Error("The sample cannot be fetched: load the page again.");
    return [new File([await response.blob()], name)];
  });
}

function showModel() {
  find("title").textContent = `Which does this X-ray look like: ${model.classes.join(" or ")}?`;
  find("verdict").replaceChildren(...bannerOf(model));
  find("verdict").className = `verdict ${model.status === "SHORTCUT" ? "bad" : ""}`;
  find("verdict").hidden = false;
  find("about").textContent = `${model.description} ${model.decision}`;
  find("about").hidden = false;
  find("samples-title").textContent = model.samples.title;
  find("samples-title").hidden = !model.samples.items.length;
  find("samples").replaceChildren(...model.samples.items.map((sample, number) => {
    const picture = make("img", "", [], { src: sample.picture, alt: "" });
    return make("li", "", makeButton("sample", [picture, make("span", "", sample.caption)], () => askSample(number)));
  }));
  render();
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
    if (await load() && state.phase === "failed") change(NOTHING);
  } catch (error) {
    change({ ...NOTHING, phase: "failed", problem: error instanceof TypeError ? UNREACHABLE : error.message });
  }
}

find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  apiToken = find("api-token").value.trim();
  find("api-token").value = "";
  start();
});
find("clear").addEventListener("click", clear);
input.addEventListener("change", () => {
  const files = [...input.files];
  input.value = ""; // ready for the next files, also for the same again
  askFiles(files);
});
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault()); // a file dropped beside the field does not replace the page
}
find("drop").addEventListener("dragover", () => find("drop").classList.add("over"));
find("drop").addEventListener("dragleave", () => find("drop").classList.remove("over"));
find("drop").addEventListener("drop", (event) => {
  find("drop").classList.remove("over");
  askFiles([...event.dataTransfer.files]);
});
const inAddress = new URLSearchParams(location.hash.slice(1)).get("token");
if (inAddress) {
  apiToken = inAddress;
  history.replaceState(null, "", location.pathname); // out of the address and the history
}
start();
