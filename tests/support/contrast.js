// What of a page is hard to read: texts with a contrast below 4.5, controls without a name or with an outline below 3.
// The formulas are those of WCAG 2.2 (relative luminance, contrast ratio).
() => {
  const wrong = [];
  const parse = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (first, second) => {
    const [low, high] = [luminance(first), luminance(second)].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let item = element; item; item = item.parentElement) {
      const color = parse(getComputedStyle(item).backgroundColor);
      if (color.alpha === 1) return color.rgb;
    }
    return [255, 255, 255];
  };
  const visible = (element) => element.checkVisibility({ checkVisibilityCSS: true }) && element.getClientRects().length > 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !visible(element) || element.closest("svg, :disabled, .skip, script, style, option")) continue;
    const found = ratio(parse(getComputedStyle(element).color).rgb, behind(element));
    if (found < 4.5) wrong.push(`${text.slice(0, 30)}: contrast ${found.toFixed(2)}`);
  }
  for (const control of document.querySelectorAll("a[href], button, select, input:not([type=hidden]), textarea, summary, canvas, svg, [tabindex='0']")) {
    if (!visible(control) || control.closest("[aria-hidden=true]")) continue;
    const labelled = (control.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    const name = control.getAttribute("aria-label") || labelled.trim() || [...(control.labels ?? [])].map((label) => label.textContent).join(" ") || control.textContent;
    const shown = `${control.tagName} ${control.id}`;
    if (!name.trim()) wrong.push(`${shown}: no name`);
    if (control.matches("button:enabled, select, textarea, input:not([type=range]):not([type=file])")) {
      const style = getComputedStyle(control);
      const found = Math.max(ratio(parse(style.borderTopColor).rgb, behind(control.parentElement)), ratio(parse(style.backgroundColor).rgb, behind(control.parentElement)));
      if (found < 3) wrong.push(`${shown}: outline ${found.toFixed(2)}`);
    }
  }
  return wrong;
}
