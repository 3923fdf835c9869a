package loadtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ms":     msText,
	"rate":   number,
	"share":  percent,
	"middle": func(a, b float64) float64 { return (a + b) / 2 },
	"figure": figure,
}).Parse(pageText))

func percent(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g%%", 100*float64(n)/float64(of))
}

// WriteHTML writes one page that needs no other file.
func (r *Result) WriteHTML(w io.Writer) error {
	return page.Execute(w, struct {
		*Result
		Charts []Chart
	}{r, r.charts()})
}
