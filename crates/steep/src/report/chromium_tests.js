// Measures one frame and hands what was found to the document around it. `frame` is its name.
const violations = [];
addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));

addEventListener('load', () => {
  for (const details of document.querySelectorAll('details')) {
    details.removeAttribute('name'); // Several are open at once.
    details.open = true;
  }
  const width = document.documentElement.clientWidth;
  const isShown = (element) => element.getClientRects().length > 0;
  const named = (element) => element.tagName.toLowerCase() + ' ' + (element.textContent || '').trim().slice(0, 60);

  // An element may reach beyond the page only inside one that scrolls by itself.
  const scrolls = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const overflow = getComputedStyle(at).overflowX;
      if (overflow === 'auto' || overflow === 'scroll' || overflow === 'hidden') return true;
    }
    return false;
  };
  const overflowing = [];
  for (const element of document.body.querySelectorAll('*')) {
    if (!isShown(element) || element.classList.contains('skip') || scrolls(element)) continue;
    if (element.ownerSVGElement) continue; // A picture clips what lies outside of it.
    if (element.getBoundingClientRect().right > width + 1) overflowing.push(named(element));
  }

  // Colours as red, green, blue and opacity from 0 to 1.
  const colour = (text) => {
    const numbers = (text.match(/-?[\d.]+(e-?\d+)?/g) || []).map(Number);
    if (text.startsWith('rgb')) return [numbers[0] / 255, numbers[1] / 255, numbers[2] / 255, numbers[3] ?? 1];
    if (text.startsWith('color(srgb')) return [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
    return [0, 0, 0, 0];
  };
  const over = (top, below) => {
    const mixed = [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
    return [...mixed, 1];
  };
  const luminance = (of) => {
    const linear = of.slice(0, 3).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
    const canvas = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0, 1] : [1, 1, 1, 1];
    return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
  };
  // What a picture has painted where a text stands: shapes that come before it and hold its middle.
  const painted = (text, svg, below) => {
    const box = text.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    for (const shape of svg.querySelectorAll('rect, path, circle')) {
      if (!(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
      const style = getComputedStyle(shape);
      const place = shape.getBoundingClientRect();
      if (style.fill === 'none' || x < place.left || x > place.right || y < place.top || y > place.bottom) continue;
      const fill = colour(style.fill);
      below = over([fill[0], fill[1], fill[2], fill[3] * Number(style.opacity)], below);
    }
    const style = getComputedStyle(text);
    const hasHalo = style.paintOrder.startsWith('stroke') && style.stroke !== 'none';
    return hasHalo ? over(colour(style.stroke), below) : below;
  };
  const faint = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !isShown(element) || ['SCRIPT', 'STYLE'].includes(element.tagName)) continue;
    if (['title', 'desc'].includes(element.tagName)) continue;
    texts += 1;
    const svg = element.ownerSVGElement;
    const style = getComputedStyle(element);
    let ground = behind(svg ?? element);
    if (svg) ground = painted(element.closest('text'), svg, ground);
    const ink = over(colour(svg ? style.fill : style.color), ground);
    const ratio = contrast(ink, ground);
    if (ratio < 4.5 && faint.length < 40) {
      const shown = (of) => of.slice(0, 3).map((part) => Math.round(part * 255)).join(' ');
      faint.push(`${ratio.toFixed(2)} ${element.getAttribute('class') || element.tagName} "${node.data.trim().slice(0, 40)}" ${shown(ink)} on ${shown(ground)}`);
    }
  }

  // Everything that opens, links or scrolls can have the focus.
  const unreachable = [];
  let reachable = 0;
  for (const element of document.querySelectorAll('a[href], summary, [tabindex]')) {
    if (!isShown(element)) continue;
    element.focus({ preventScroll: true });
    if (document.activeElement === element && element.tabIndex >= 0) reachable += 1;
    else unreachable.push(named(element));
  }
  for (const element of document.querySelectorAll('.scroll, pre')) {
    const moves = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    if (isShown(element) && moves && element.tabIndex < 0) unreachable.push(named(element));
  }
  const links = [...document.querySelectorAll('a[href^="#"]')].map((link) => link.getAttribute('href'));

  parent.found.push({
    frame,
    width,
    scroll_width: document.documentElement.scrollWidth,
    overflowing: overflowing.slice(0, 10),
    faint,
    texts,
    unreachable: unreachable.slice(0, 10),
    reachable,
    dangling: links.filter((link) => !document.getElementById(link.slice(1))),
    sections: [...document.querySelectorAll('section[id], aside[id]')].map((section) => section.id),
    requests: performance.getEntriesByType('resource').length,
    violations,
  });
});
