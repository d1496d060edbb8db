// Drives the page in a browser and writes what it found into the element #driven, for tests/it/page.rs.
"use strict";
addEventListener("load", async () => {
  const found = { opened: Math.round(performance.now()), width: innerWidth, errors: [] };
  addEventListener("error", (event) => found.errors.push(String(event.message)));
  addEventListener("unhandledrejection", (event) => found.errors.push(String(event.reason)));
  const byId = (id) => document.getElementById(id);
  const rows = () => [...document.querySelectorAll("#rows tr")];
  const cell = (row, column) => row.children[column].textContent;
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const violations = async (where) => {
    const result = await axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return result.violations.map((violation) => `${where}: ${violation.id}: ${violation.nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
  };
  try {
    found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    found.status = byId("status").textContent;
    found.first = rows().map((row) => cell(row, 1));
    found.bars = document.querySelectorAll("#timeline rect:not(.episode)").length;
    found.episodes = document.querySelectorAll("#timeline .episode").length;
    found.marked = document.querySelectorAll("img, script[src], link, iframe").length;

    const dark = (on) => { document.documentElement.dataset.theme = on ? "dark" : "light"; };
    found.violations = [];
    for (const theme of [false, true]) {
      dark(theme);
      found.violations.push(...await violations(theme ? "dark" : "light"));
    }

    // The verdict column, down and up.
    const head = document.querySelector('th[data-sort="3"]');
    head.querySelector("button").click();
    found.sorted = head.getAttribute("aria-sort");
    head.querySelector("button").click();
    found.sortedAgain = [head.getAttribute("aria-sort"), cell(rows()[0], 3)];

    // A search, and a verdict that is taken out.
    byId("search").value = "synack-retransmitted";
    byId("search").dispatchEvent(new Event("input"));
    await wait(200);
    found.searched = byId("status").textContent;
    byId("search").value = "";
    byId("search").dispatchEvent(new Event("input"));
    await wait(200);
    const box = byId("verdicts").querySelector("input");
    box.click();
    found.filtered = byId("status").textContent;
    box.click();

    // The timeline by button, by key and by the pointer.
    byId("zoom-in").click();
    found.zoomed = byId("status").textContent;
    byId("zoom-all").click();
    byId("timeline-box").dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true }));
    found.zoomedByKey = byId("status").textContent;
    byId("timeline-box").dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
    const bounds = byId("timeline").getBoundingClientRect();
    byId("timeline").setPointerCapture = () => {};
    const pointer = (type, share) => byId("timeline").dispatchEvent(
      new PointerEvent(type, { clientX: bounds.left + bounds.width * share, bubbles: true, pointerId: 1 }));
    pointer("pointerdown", 0.5);
    pointer("pointermove", 0.7);
    pointer("pointerup", 0.9);
    found.brushed = byId("status").textContent;
    byId("zoom-all").click();

    // An attempt, opened and closed.
    document.querySelector('th[data-sort="0"] button').click();
    const wanted = rows().find((row) => ["synack-retransmitted", "reset-after-ack"].includes(cell(row, 3))) ?? rows()[0];
    const opener = wanted.querySelector("button");
    opener.click();
    await wait(50);
    const dialog = byId("attempt");
    found.dialog = {
      open: dialog.open, title: byId("attempt-title").textContent, text: byId("attempt-body").textContent,
      arrows: dialog.querySelectorAll(".ladder path:not(.stop)").length, stops: dialog.querySelectorAll(".ladder path.stop").length,
      lines: [...dialog.querySelectorAll(".ladder text > title")].map((title) => title.textContent),
    };
    found.dialogOverflow = dialog.scrollWidth - dialog.clientWidth;
    for (const theme of [false, true]) {
      dark(theme);
      found.violations.push(...await violations(theme ? "dialog, dark" : "dialog, light"));
    }
    byId("close").click();
    await wait(50);
    found.closed = [dialog.open, document.activeElement === opener ? "opener" : document.activeElement.outerHTML.slice(0, 200)];
  } catch (error) {
    found.errors.push(`${error.message} ${error.stack}`);
  }
  if (parent !== window) {
    parent.postMessage(JSON.stringify(found), "*");
    return;
  }
  const out = document.createElement("pre");
  out.id = "driven";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
});
