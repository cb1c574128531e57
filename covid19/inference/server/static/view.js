// What the page shows: elements made from answers. Everything that came from a file is set as text, never as HTML.

/** An element with text and children; `attributes` are set as attributes, all others are left alone. */
export function make(tag, className, children = [], attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...[children].flat().filter((child) => child !== null && child !== ""));
  return element;
}

/** A button that does something. */
export function makeButton(className, children, onClick, attributes = {}) {
  const button = make("button", className, children, { type: "button", ...attributes });
  button.addEventListener("click", onClick);
  return button;
}

/** The audit's verdict as a class name: red for a shortcut, amber where something is open, quiet for none found. */
function statusClass(model) {
  return { SHORTCUT: "bad", "NONE FOUND": "quiet" }[model.status] ?? "open";
}

/** What the audit of the training data found, as one or two words below what they are about. */
function statusOf(model) {
  return [make("p", "about-next", "Shortcut audit of this model"), make("p", `status ${statusClass(model)}`, model.status)];
}

/** What the audit found, in full, to stand before every answer. */
export function bannerOf(model) {
  return [...statusOf(model), make("p", "", model.verdict)];
}

/** Why there is no label, as a sentence. */
function problemOf(answer) {
  if (answer.novelty_percentile === null) return `Cannot be read: ${answer.problem}`;
  return `${answer.problem.charAt(0).toUpperCase()}${answer.problem.slice(1)}. No label is given.`;
}

function trainingOf(answer) {
  const known = { "same file": "this very file", "near-duplicate": "nearly this image" }[answer.training_image];
  return known ? `The model was trained on ${known}: what it says of it means nothing.` : "";
}

/** The probabilities as bars; a tick shows from which probability the positive class is predicted. */
function barsOf(answer, model) {
  return make("dl", "bars", Object.entries(answer.probabilities).map(([name, probability]) => {
    const filled = make("span", "filled");
    filled.style.width = `${100 * probability}%`;
    const share = make("dd", "share", filled, { "aria-hidden": "true" });
    if (name === model.positive && model.threshold !== null) {
      const tick = make("span", "tick");
      tick.style.left = `${100 * Math.min(1, model.threshold)}%`;
      share.append(tick);
    }
    return make("div", name === answer.label ? "bar chosen" : "bar", [
      make("dt", "", name), share, make("dd", "n", probability.toFixed(3)),
    ]);
  }));
}

function film(answer, alternative) {
  return make("img", "", [], { src: answer.picture, alt: alternative });
}

/** The picture as it is and, beside it, with the heat map over it, its scale, and how much of the heat lies on the lungs. */
function picturesOf(answer, labelled) {
  const original = make("figure", "", [make("div", "picture", film(answer, `The image ${answer.file}`)), make("figcaption", "", "As it is")]);
  if (!labelled || !answer.heat) return [original];
  const heat = make("img", "heat", [], { src: answer.heat, alt: "" });
  const share = answer.heat_on_lungs === null
    ? "How much of it lies on the lungs is not known."
    : `${Math.round(100 * answer.heat_on_lungs)} % of it lies on the lungs.`;
  const scale = make("div", "scale", [make("span", "", "little"), make("span", "colours", [], { "aria-hidden": "true" }), make("span", "", "much")]);
  return [original, make("figure", "", [
    make("div", "picture", [film(answer, `What in the image ${answer.file} speaks for ${answer.label}`), heat]),
    make("figcaption", "", [scale, make("span", "", `What speaks for ${answer.label} (Grad-CAM). ${share}`)]),
  ])];
}

/** The answer for one file: the verdict on the model, the label no larger than that, then the pictures. */
export function cardOf(answer, { model, revealed, onReveal }) {
  const labelled = Boolean(answer.label) && revealed;
  const words = make("div", "words", [make("p", "file", answer.file), ...statusOf(model)]);
  if (answer.training_image) words.append(make("p", "flag", trainingOf(answer)));
  if (labelled) {
    const label = [make("p", "about-next", "The label that the model gives"), make("p", "label", answer.label)];
    words.append(...label, barsOf(answer, model), make("p", "muted", model.decision));
  } else if (answer.label) words.append(hiddenLabel(onReveal, "Show the label all the same"));
  else words.append(make("p", "flag", problemOf(answer)));
  if (answer.novelty_percentile !== null) {
    const below = answer.label ? `, below the ${model.unlike} from which no label is given` : "";
    words.append(make("p", "novelty", `Novelty: percentile ${answer.novelty_percentile.toFixed(1)} of the distance to the training images${below}.`));
  }
  return make("div", "card", answer.picture ? [words, make("div", "view", picturesOf(answer, labelled))] : words);
}

/** In place of a label that is withheld: why, and a button. */
function hiddenLabel(onReveal, text) {
  const why = "Labels of this model are withheld: read the verdict above first.";
  return make("div", "withheld", [make("p", "", why), makeButton("button", text, onReveal, { id: "reveal" })]);
}

function rowOf(answer, { model, revealed, onOpen }, number) {
  const cell = (name, className, content) => make("td", className, content, { "data-name": name });
  const shown = (name) => (revealed && name in answer.probabilities ? answer.probabilities[name].toFixed(3) : "");
  const open = makeButton("link", answer.file, () => onOpen(number));
  const row = make("tr", "", [
    make("td", "thumbnail", answer.picture ? make("div", "picture small", film(answer, "")) : []),
    cell("file", "file", open),
    cell("label", "", make("b", "", answer.label ? (revealed ? answer.label : "withheld") : "none")),
    ...model.classes.map((name) => cell(name, "n", shown(name))),
    cell("novelty", "n", answer.novelty_percentile === null ? "" : answer.novelty_percentile.toFixed(1)),
    cell("", "problem", [answer.problem ? problemOf(answer) : "", " ", trainingOf(answer)].join("").trim()),
  ]);
  row.addEventListener("click", (event) => { if (!open.contains(event.target)) onOpen(number); });
  return row;
}

/** The answers for several files, each row of which leads to the card of its file. */
export function tableOf(answers, context) {
  const { model, revealed, onReveal } = context;
  const heading = (text, className = "") => make("th", className, text, { scope: "col" });
  const nothing = () => make("td");
  const table = make("table", "answers", [
    make("caption", "", `${answers.length} files: choose one to see it`),
    make("thead", "", make("tr", "", [
      nothing(), heading("file"), heading("label"), ...model.classes.map((name) => heading(name, "n")), heading("novelty", "n"), nothing(),
    ])),
    make("tbody", "", answers.map((answer, number) => rowOf(answer, context, number))),
  ]);
  const withheld = !revealed && answers.some((answer) => answer.label);
  return [withheld ? hiddenLabel(onReveal, "Show the labels all the same") : null, table, make("p", "muted", model.decision)];
}
