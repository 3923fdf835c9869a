// Package advice says what a status means for people: how the sweep is, in one of three
// words, and what people have to do now, the most urgent first. It is the only place that
// makes these words. [Judge] puts them into the status; terminal, page, status, log and the
// message of an exit show them, so that all of them say the same.
//
// Each task says what is the case, what to do about it, and by which commands. The commands
// name the folder, files and addresses of this sweep, quoted, and can be pasted. A word in
// capitals stands for what only the reader has, such as their own key. A task fits the state:
// it never advises a command that would be refused.
//
// It reads no file and no clock, and knows no device.
package advice
