// Package chart draws lines over a common axis, for every page of the engine. [Draw] makes
// the values, and the templates "chart" and "chart style" of [Templates] show them: an SVG
// that fills the width it has, with axes of text beside it, so that labels are as large on
// a telephone as on a wide screen.
//
// A page gives each class of a series its colour and its dashes, as --line and --dash:
// whoever tells no colours apart tells the lines by their dashes, and whoever does not see
// them reads [Chart.Says].
//
// It does no I/O, and knows nothing of what the numbers are.
package chart
