// Package table reads tables and lists that people and spreadsheets make, and writes tables
// that a spreadsheet can open safely.
//
// A table is RFC 4180: UTF-8 with or without a byte order mark, records that end in LF or
// CRLF, a header line. A list is a line for each device; what follows a # does not count,
// nor do blank lines.
//
// If a file is something else, the error says what it is and what to do: a workbook, UTF-16,
// another separator, a title before the header, lines that end with CR alone. Files hold
// personal data, so an error says where and what is wrong, and quotes nothing of the file but
// a name that looks like a column's.
//
// A record whose fields are all empty, as spreadsheets leave them at the end, is skipped and
// counted. A list accepts every line ending that some program writes, so that a comment
// cannot hide the lines after it.
//
// It refuses records over a bound, so that a quote that is never closed does not read the
// rest of a huge file into memory.
package table
