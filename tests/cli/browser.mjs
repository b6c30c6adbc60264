// Opens pages in a headless Chromium, in the sizes and colours asked for: takes a picture
// of each, lets axe-core judge it, and says what was found as JSON.
// node browser.mjs '{"browser": PATH, "pages": [{"name", "url", "press"}], "folder": PATH}'
// A page with "press" is the one that this button of its form leads to, for all that is found.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const asked = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];
const browser = await puppeteer.launch({
  executablePath: asked.browser,
  args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server"],
});
const found = [];
for (const width of asked.widths) {
  for (const scheme of ["light", "dark"]) {
    for (const { name, url, press } of asked.pages) {
      const page = await browser.newPage();
      const errors = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.setBypassCSP(false);
      await page.goto(url, { waitUntil: "load" });
      if (press) {
        await page.click("input[name=all]");
        await Promise.all([page.waitForNavigation({ waitUntil: "load" }), page.click(press)]);
      }
      // In a world of its own, which the page's policy does not bind.
      const isolated = await page.mainFrame().isolatedRealm();
      await isolated.evaluate(axe);
      const violations = await isolated.evaluate(
        async (tags) =>
          (await axe.run(document, { runOnly: tags })).violations.map((each) => ({
            id: each.id,
            help: each.help,
            nodes: each.nodes.slice(0, 3).map((node) => node.html + " " + node.failureSummary),
          })),
        TAGS,
      );
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      await page.screenshot({ path: `${asked.folder}/${name}-${width}-${scheme}.png`, fullPage: true });
      found.push({ name, width, scheme, violations, overflow, errors });
      await page.close();
    }
  }
}
const live = {};
if (asked.live) {
  const page = await browser.newPage();
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const changed = () => {
    process.stderr.write("change\n"); // the test changes something, and says when it has
    return lines.next();
  };
  const shown = (text) =>
    page.waitForFunction(
      (text) => document.getElementById("live-part").textContent.includes(text),
      { timeout: 60000 },
      text,
    );
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    if (request.url().includes("/live?")) await changed(); // drawn, and not told yet
    request.continue();
  });
  await page.goto(asked.live, { waitUntil: "load" });
  live.button = await page.$eval("#live-button", (each) => each.textContent);
  await shown(asked.expected[0]);
  await changed();
  await shown(asked.expected[1]);
  await page.click("#live-button");
  live.stopped = await page.$eval("#live-button", (each) => each.textContent);
  live.status = await page.$eval("#live-status", (each) => each.textContent);
  process.stdin.destroy();
}
await browser.close();
process.stdout.write(JSON.stringify({ found, live }));
