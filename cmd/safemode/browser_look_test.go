package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"safemode/engine/record"
)

// keep writes what a person is to look at into the folder that SAFEMODE_SCREENSHOTS names,
// where it names one.
func keep(t *testing.T, name string, content []byte) {
	t.Helper()
	dir := os.Getenv("SAFEMODE_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// looked holds the page that is shown to what must be so on all: on a wide and a narrow
// screen, in the light and in the dark. A picture of each is kept.
func (b *browser) looked(name string) {
	b.t.Helper()
	if list := b.unnamed(); len(list) > 0 {
		b.t.Errorf("%s: without a name: %v", name, list)
	}
	var faults []string
	b.run(outline, &faults)
	for _, scheme := range []string{"light", "dark"} {
		b.medium("", scheme)
		var pale []string
		b.run(pallor, &pale)
		for _, f := range pale {
			faults = append(faults, "in the "+scheme+": "+f)
		}
		b.widths(name + "-" + scheme)
	}
	b.medium("", "")
	for _, f := range faults {
		b.t.Errorf("%s: %s", name, f)
	}
}

// medium has pages shown as on a screen or on paper, in a scheme of colours; empty: as it
// comes.
func (b *browser) medium(medium, scheme string) {
	b.t.Helper()
	b.call(b.session, "Emulation.setEmulatedMedia", map[string]any{"media": medium, "features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// outline finds what is wrong with headings, landmarks and tables.
const outline = `(() => {
	const faults = [], levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]));
	levels.forEach((level, i) => { if (level > (i ? levels[i - 1] + 1 : 1)) faults.push('heading ' + (i + 1) + ' is of level ' + level) });
	if (document.querySelectorAll('h1').length !== 1) faults.push('there is not one h1');
	if (document.querySelectorAll('main').length !== 1) faults.push('there is not one main');
	if (!document.documentElement.lang) faults.push('no language');
	for (const th of document.querySelectorAll('th:not([scope])')) faults.push('no scope: ' + th.outerHTML);
	for (const id of document.querySelectorAll('.whole, time')) if (id.getClientRects().length && getComputedStyle(id).whiteSpace !== 'nowrap') faults.push('may be broken into lines: ' + id.outerHTML);
	for (const cell of document.querySelectorAll('tbody td:not(.whole)')) if (/^-?[0-9][0-9,.]*$/.test(cell.textContent.trim()) && getComputedStyle(cell).textAlign !== 'right') faults.push('a number on the left: ' + cell.outerHTML);
	for (const wide of document.querySelectorAll('section, .scroll, .wide, pre')) if (wide.scrollWidth > wide.clientWidth + 1 && getComputedStyle(wide).overflowX !== 'visible' && wide.tabIndex < 0) faults.push('cannot be scrolled by the keyboard: ' + wide.outerHTML.slice(0, 100));
	return faults;
})()`

// pallor finds text that does not stand out from what is behind it: a contrast under 4.5 to 1
// (WCAG 2, AA).
const pallor = `(() => {
	const parts = c => { const n = c.match(/[\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1] };
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
	const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c } return matchMedia('(prefers-color-scheme: dark)').matches && getComputedStyle(document.documentElement).colorScheme.includes('dark') ? [18, 18, 18, 1] : [255, 255, 255, 1] };
	const pale = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const e = texts.currentNode.parentElement;
		if (!texts.currentNode.data.trim() || !e.getClientRects().length || e.closest('script, style, noscript, svg, .watermark, option')) continue;
		const a = light(parts(getComputedStyle(e).color)), b = light(behind(e)), contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) pale.add(contrast.toFixed(2) + ' to 1: ' + e.outerHTML.slice(0, 100));
	}
	return [...pale];
})()`

// atOnce holds the page to what must be known without scrolling.
func (b *browser) atOnce(name string, words ...string) {
	b.t.Helper()
	for _, width := range []int{1280, 390} {
		b.call(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": false}, nil)
		var seen string
		b.run(`scrollTo(0, 0), [...document.querySelectorAll('p, dd, dt, h1, h2, li')].filter(e => { const r = e.getBoundingClientRect(); return r.height && r.bottom < innerHeight }).map(e => e.innerText).join('\n')`, &seen)
		for _, word := range words {
			if !strings.Contains(seen, word) {
				b.t.Errorf("%s: the first screen of %d lacks %q:\n%s", name, width, word, seen)
			}
		}
	}
	b.call(b.session, "Emulation.clearDeviceMetricsOverride", nil, nil)
}

// printed prints the page that is shown on A4, and holds it to what must be so on paper.
func (b *browser) printed(name string) {
	b.t.Helper()
	b.medium("print", "dark") // paper is white all the same
	b.call(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil)
	var faults []string
	b.run(`[...document.querySelectorAll('table, svg, figure')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => 'sticks out: ' + e.outerHTML.slice(0, 200))`, &faults)
	var pale []string
	b.run(pallor, &pale)
	for _, f := range append(faults, pale...) {
		b.t.Errorf("%s on paper: %s", name, f)
	}
	b.call(b.session, "Emulation.clearDeviceMetricsOverride", nil, nil)
	b.medium("", "")
	var printed struct{ Data string }
	b.call(b.session, "Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": false}, &printed)
	pdf, err := base64.StdEncoding.DecodeString(printed.Data)
	if err != nil || len(pdf) == 0 {
		b.t.Fatalf("%s cannot be printed: %v", name, err)
	}
	keep(b.t, name+".pdf", pdf)
}

// screens holds the terminal's view of a status to its size, and to what must be known at
// once.
func screens(t *testing.T, name string, st record.Status, words ...string) {
	t.Helper()
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		text := ansi.Strip(screen{last: st, talk: silent, width: size[0], height: size[1]}.draw())
		if lines := strings.Count(text, "\n") + 1; lines > size[1] {
			t.Errorf("%s: %d lines in %d", name, lines, size[1])
		}
		for line := range strings.Lines(text) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > size[0] {
				t.Errorf("%s: %d columns in %d: %q", name, n, size[0], line)
			}
		}
		for _, word := range words {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), word) {
				t.Errorf("%s: a terminal of %dx%d lacks %q:\n%s", name, size[0], size[1], word, text)
			}
		}
		keep(t, fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]), []byte(text+"\n"))
	}
}
