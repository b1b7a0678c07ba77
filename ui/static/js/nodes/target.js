/** Addresses with #NODE_ID lead to that node, also when its card comes later than the page. */

export class Target {
  constructor() {
    this.wanted = window.location.hash;
    window.addEventListener("hashchange", () => {
      this.wanted = window.location.hash;
      this.show();
    });
  }

  /** Go there, if it was not done yet and the card is there. */
  show() {
    if (!this.wanted) return;
    const found = document.getElementById(decoded(this.wanted.slice(1)));
    if (!found?.matches(".target")) return;
    this.wanted = "";
    for (const marked of document.querySelectorAll(".target.marked")) marked.classList.remove("marked");
    found.classList.add("marked");
    const folded = found.closest("details");
    if (folded) folded.open = true;
    found.tabIndex = -1;
    found.focus({ preventScroll: true });
    found.scrollIntoView({ block: "center" });
  }
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
