package loadtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"safemode/engine/chart"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"ms":     msText,
	"rate":   chart.Number,
	"share":  percent,
	"figure": figure,
}).Parse(pageText + chart.Templates))

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
		Charts []drawn
	}{r, r.charts()})
}
