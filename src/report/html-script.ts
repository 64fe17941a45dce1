/**
 * @file The script of the HTML report: sorts and filters the table, and links it with the plots. It
 * is written into the page as it stands here, so it is plain JavaScript without imports.
 */

/**
 * A click on a column's title sorts. A text, families that are switched off, and a rectangle drawn
 * in a plot filter: rows that do not pass are hidden, their circles dimmed in every plot. A button
 * in a row shows its recipe as a command and as TypeScript; one beside a text selects and copies it. All collapsed parts open for printing.
 * Without the script the page shows everything; its controls are hidden until the script runs.
 */
export const pageScript = `for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.firstElementChild?.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = (row) => row.cells[i].dataset.key;
    body.append(...[...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y);
    }));
  }));
}
const controls = document.querySelector(".controls");
if (controls) {
  const rows = [...document.querySelectorAll("table.sortable tbody tr")];
  const search = controls.querySelector("input");
  const shown = controls.querySelector("output");
  const clear = controls.querySelector(".clear");
  const toggles = [...controls.querySelectorAll("[data-family]")];
  const plots = [...document.querySelectorAll(".plots svg")].filter((svg) => svg.querySelector("a circle"));
  const links = plots.flatMap((svg) => [...svg.querySelectorAll("a")]);
  let picked = null;
  const passes = (row) => {
    if (row.classList.contains("original")) return true;
    const off = toggles.some((b) => b.dataset.family === row.dataset.family && b.getAttribute("aria-pressed") === "false");
    const words = search.value.toLowerCase().split(/\\s+/);
    return !off && (!picked || picked.has(row.id)) && words.every((word) => row.dataset.recipe.toLowerCase().includes(word));
  };
  const update = () => {
    const kept = new Set(rows.filter(passes).map((row) => row.id));
    for (const row of rows) row.hidden = !kept.has(row.id);
    for (const link of links) link.classList.toggle("off", !kept.has(link.getAttribute("href").slice(1)));
    shown.value = kept.size === rows.length ? rows.length + " rows" : kept.size + " of " + rows.length + " rows";
    clear.hidden = kept.size === rows.length;
  };
  search.addEventListener("input", update);
  for (const button of toggles) button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
    update();
  });
  clear.addEventListener("click", () => {
    search.value = "";
    picked = null;
    for (const button of toggles) button.setAttribute("aria-pressed", "true");
    update();
  });
  for (const svg of plots) {
    svg.classList.add("brush");
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    svg.addEventListener("pointerdown", (down) => {
      if (down.button !== 0) return;
      const box = document.createElement("div");
      box.className = "brushed";
      let area = null;
      const move = (event) => {
        if (!area && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) < 5) return;
        if (!area) { document.body.append(box); svg.setPointerCapture(down.pointerId); }
        const [x, y] = [Math.min(down.clientX, event.clientX), Math.min(down.clientY, event.clientY)];
        area = { x, y, right: Math.max(down.clientX, event.clientX), bottom: Math.max(down.clientY, event.clientY) };
        box.style.cssText = "left:" + x + "px;top:" + y + "px;width:" + (area.right - x) + "px;height:" + (area.bottom - y) + "px";
      };
      const up = () => {
        svg.removeEventListener("pointermove", move);
        box.remove();
        if (!area) return;
        // A drag that ends on a circle is no click on it.
        const swallow = (event) => { event.preventDefault(); event.stopPropagation(); };
        addEventListener("click", swallow, true);
        setTimeout(() => removeEventListener("click", swallow, true));
        const inside = [...svg.querySelectorAll("a circle")].filter((circle) => {
          const { left, top, width, height } = circle.getBoundingClientRect();
          const [x, y] = [left + width / 2, top + height / 2];
          return x >= area.x && x <= area.right && y >= area.y && y <= area.bottom;
        });
        picked = inside.length ? new Set(inside.map((circle) => circle.parentNode.getAttribute("href").slice(1))) : null;
        update();
      };
      svg.addEventListener("pointermove", move);
      svg.addEventListener("pointerup", up, { once: true });
      svg.addEventListener("pointercancel", up, { once: true });
    });
  }
  const taken = document.querySelector(".taken");
  document.querySelector("table.sortable").addEventListener("click", (event) => {
    const row = event.target.closest("button.take")?.closest("tr");
    if (!row) return;
    const { recipe } = row.dataset;
    const { model } = taken.dataset;
    const quoted = (text) => /^[\\w./:=@,+-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\\\''") + "'";
    const [command, program] = taken.querySelectorAll(".text");
    command.textContent = "tersor compress " + quoted(model) + " --recipe " + quoted(recipe);
    program.textContent = "const model = await load(" + JSON.stringify(model) + ");\\nconst small = await compress(model, { recipe: " + JSON.stringify(recipe) + " });\\nawait small.save(\\"small.onnx\\");";
    taken.hidden = false;
    taken.scrollIntoView({ block: "nearest" });
    navigator.clipboard?.writeText(command.textContent).catch(() => {});
  });
  controls.hidden = false;
  update();
}
for (const button of document.querySelectorAll("button.copy")) {
  const text = button.previousElementSibling;
  button.hidden = false;
  button.addEventListener("click", () => {
    // Pages opened from disk may have no clipboard: then the text is selected, to be copied by keys.
    getSelection().selectAllChildren(text);
    navigator.clipboard?.writeText(text.textContent).then(() => { button.textContent = "copied"; }, () => {});
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));`;

/**
 * Hash of `pageScript` for the page's Content-Security-Policy, which lets no other script run, such
 * as one in the name of a hostile model. A change of the script needs a new hash.
 */
export const scriptHash = "sha256-mV5bWtxzTlS7uOVkj3LRvG6/pXIDqhvjEonNdJ5soe8=";
