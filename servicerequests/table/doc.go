// Package table reads the tables and lists that people and their spreadsheets make, and
// writes tables that a spreadsheet may open.
//
// A table is RFC 4180: UTF-8 with or without a byte order mark, records that end in LF or
// CRLF, a header line. A list is a line for each device; what follows a # does not count,
// nor do blank lines.
//
// What is something else is named for what it is, with what to do about it: a workbook,
// UTF-16, another separator, a title before the header, lines that end with CR alone. What
// a file holds is personal data: an error tells where and what is wrong, and repeats no
// more of the file than a name that looks like a column's.
//
// A record whose fields are all empty, as a spreadsheet leaves them at the end, claims
// nothing: it is skipped and counted. Every end of a line that some program takes for one
// ends the lines of a list: a comment must not swallow the lines after it.
//
// It refuses records over a bound, so that a quote that is never closed does not read the
// rest of a huge file into memory.
package table
