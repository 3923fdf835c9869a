package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"safemode/servicerequests/outside"
)

// browser is a headless Chromium with one tab, driven by the DevTools protocol over a
// pipe: messages of JSON, each ended by a zero byte.
type browser struct {
	t       *testing.T
	out     *os.File
	session string

	mu       sync.Mutex
	number   int
	replies  map[int]chan devtools
	requests []string // URLs that pages have asked for
	errors   []string // that pages have caused
	accept   bool     // what dialogs are answered
	dialogs  []string // their texts
	loaded   chan struct{}
}

// devtools is one message of the protocol.
type devtools struct {
	ID        int             `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Exception *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// openBrowser starts Chromium, which ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := outside.Program(t, "chromium", "chromium")
	theirIn, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	command.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	p := startCommand(t, command)
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, out: out, replies: map[int]chan devtools{}, loaded: make(chan struct{}, 100)}
	go b.listen(in)
	t.Cleanup(func() {
		b.tryCall("", "Browser.close", nil)
		select {
		case <-p.ended: // it has cleared its folder up
		case <-time.After(20 * time.Second):
		}
		out.Close()
	})
	var target struct {
		ID string `json:"targetId"`
	}
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b.session = attached.Session
	for _, domain := range []string{"Page", "Runtime", "Log", "Network", "Accessibility"} {
		b.call(b.session, domain+".enable", nil, nil)
	}
	return b
}

// listen takes messages in until the browser ends.
func (b *browser) listen(in *os.File) {
	defer in.Close()
	for r := bufio.NewReader(in); ; {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m devtools
		if json.Unmarshal(bytes.TrimRight(text, "\x00"), &m) != nil {
			continue
		}
		b.mu.Lock()
		if reply := b.replies[m.ID]; m.ID != 0 && reply != nil {
			delete(b.replies, m.ID)
			reply <- m
		} else {
			b.event(m)
		}
		b.mu.Unlock()
	}
}

func (b *browser) event(m devtools) {
	var p struct {
		Request   struct{ URL string }
		Message   string
		Type      string
		Entry     struct{ Level, Text, URL string }
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	if json.Unmarshal(m.Params, &p) != nil {
		return
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		b.requests = append(b.requests, p.Request.URL)
	case "Runtime.exceptionThrown":
		b.errors = append(b.errors, string(p.Exception))
	case "Log.entryAdded":
		if p.Entry.Level == "error" || p.Entry.Level == "warning" {
			b.errors = append(b.errors, p.Entry.Text+" "+p.Entry.URL)
		}
	case "Runtime.consoleAPICalled":
		if p.Type == "error" || p.Type == "warning" {
			b.errors = append(b.errors, string(m.Params))
		}
	case "Page.javascriptDialogOpening":
		b.dialogs = append(b.dialogs, p.Message)
		b.send(b.session, "Page.handleJavaScriptDialog", map[string]any{"accept": b.accept})
	case "Page.loadEventFired":
		select {
		case b.loaded <- struct{}{}:
		default:
		}
	}
}

// send writes a message; the caller holds the lock.
func (b *browser) send(session, method string, params any) int {
	b.number++
	raw, err := json.Marshal(params)
	if err != nil {
		panic(err) // a mistake in the test
	}
	text, err := json.Marshal(devtools{ID: b.number, Session: session, Method: method, Params: raw})
	if err != nil {
		panic(err)
	}
	_, _ = b.out.Write(append(text, 0)) // without a reply the call fails
	return b.number
}

func (b *browser) tryCall(session, method string, params any) (json.RawMessage, error) {
	reply := make(chan devtools, 1)
	b.mu.Lock()
	if params == nil {
		params = map[string]any{}
	}
	b.replies[b.send(session, method, params)] = reply
	b.mu.Unlock()
	select {
	case m := <-reply:
		if m.Exception != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Exception.Message)
		}
		return m.Result, nil
	case <-time.After(longest):
		return nil, fmt.Errorf("%s: no reply", method)
	}
}

func (b *browser) call(session, method string, params, result any) {
	b.t.Helper()
	raw, err := b.tryCall(session, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// show opens a page and waits until it is loaded.
func (b *browser) show(url string) {
	b.t.Helper()
	for len(b.loaded) > 0 {
		<-b.loaded
	}
	b.call(b.session, "Page.navigate", map[string]any{"url": url}, nil)
	select {
	case <-b.loaded:
	case <-time.After(longest):
		b.t.Fatalf("%s is not loaded", url)
	}
}

// run evaluates a script's expression in the page.
func (b *browser) run(expression string, result any) {
	b.t.Helper()
	var reply struct {
		Result struct{ Value json.RawMessage }
		Thrown json.RawMessage `json:"exceptionDetails"`
	}
	b.call(b.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &reply)
	if reply.Thrown != nil {
		b.t.Fatalf("%s: %s", expression, reply.Thrown)
	}
	if result != nil {
		if err := json.Unmarshal(reply.Result.Value, result); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// text is what a person can read.
func (b *browser) text() (text string) {
	b.t.Helper()
	b.run("document.body.innerText", &text)
	return text
}

// until waits for a script's expression to hold.
func (b *browser) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(longest); ; time.Sleep(50 * time.Millisecond) {
		var holds bool
		b.run("!!("+expression+")", &holds)
		if holds {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("not so: %s\n%s", expression, b.text())
		}
	}
}

// press presses a key where the focus is.
func (b *browser) press(key string, code int) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		params := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if key == "Enter" && kind == "keyDown" {
			params["text"] = "\r"
		}
		b.call(b.session, "Input.dispatchKeyEvent", params, nil)
	}
}

// widths holds the page to a wide and a narrow screen: nothing sticks out at the side.
// A picture of each is kept where SAFEMODE_SCREENSHOTS names a folder.
func (b *browser) widths(name string) {
	b.t.Helper()
	for _, width := range []int{1280, 390} {
		b.call(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
		var over struct {
			Width int
			By    []string
		}
		b.run(`(() => { const wide = document.documentElement.clientWidth;
			return { Width: document.documentElement.scrollWidth, By: [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > wide + 1 && !e.closest('.wide, .scroll, pre, svg')).map(e => e.outerHTML.slice(0, 100)) } })()`, &over)
		if over.Width > width || len(over.By) > 0 {
			b.t.Errorf("%s is %d wide on a screen of %d: %q", name, over.Width, width, over.By)
		}
		b.picture(fmt.Sprintf("%s-%d.png", name, width))
	}
	b.call(b.session, "Emulation.clearDeviceMetricsOverride", nil, nil)
}

func (b *browser) picture(name string) {
	b.t.Helper()
	if os.Getenv("SAFEMODE_SCREENSHOTS") == "" {
		return
	}
	b.run("scrollTo(0, 0)", nil)
	var shot struct{ Data string }
	b.call(b.session, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	keep(b.t, name, png)
}

// scripts turns scripts in pages on or off.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.call(b.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": !on}, nil)
}

// unnamed lists what a screen reader could not name: fields, buttons, links and images.
func (b *browser) unnamed() (list []string) {
	b.t.Helper()
	var tree struct {
		Nodes []struct {
			Ignored    bool
			Role, Name struct{ Value any }
		}
	}
	b.call(b.session, "Accessibility.getFullAXTree", nil, &tree)
	named := 0
	for _, n := range tree.Nodes {
		switch role := fmt.Sprint(n.Role.Value); role {
		case "button", "textbox", "searchbox", "combobox", "link", "image", "navigation", "region", "search":
			if name, _ := n.Name.Value.(string); n.Ignored || strings.TrimSpace(name) != "" || role == "search" {
				named++
			} else {
				list = append(list, role)
			}
		}
	}
	if named == 0 {
		b.t.Error("there is nothing to name: is that the page?")
	}
	return list
}

// calm holds all pages so far to have caused no error, and asked nobody but an address.
func (b *browser) calm(bases ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("the browser's console: %s", e)
	}
	if len(b.requests) == 0 {
		b.t.Error("no requests were seen")
	}
	for _, url := range b.requests {
		ours := strings.HasPrefix(url, "data:")
		for _, base := range bases {
			ours = ours || strings.HasPrefix(url, base)
		}
		if !ours {
			b.t.Errorf("a page asks for %s", url)
		}
	}
}
