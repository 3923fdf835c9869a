// Package chart draws lines over a common axis, for every page of the engine. [Draw] computes
// the values. The templates "chart" and "chart style" of [Templates] show them: an SVG that
// fills the width it has, with the labels of the axes as text beside it, so that they are as
// large on a telephone as on a wide screen.
//
// A page gives each class of a series its colour and its dashes, as --line and --dash. Readers
// who cannot tell the colours apart tell the lines by their dashes. Readers who do not see the
// lines read [Chart.Says].
//
// It does no I/O, and does not know what the numbers mean.
package chart
