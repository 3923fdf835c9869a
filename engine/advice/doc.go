// Package advice says what a status means for people: how the sweep is, in one of three
// words, and what is to be done now, the most pressing first. It is the one place where
// such words are made: terminal, page, status, log and the message of an exit show what
// [Judge] has put into the status, so that they never say two things.
//
// Each task says what is so, what to do about it, and by which commands. These name the
// folder, files and addresses of this very sweep, quoted, and can be pasted; words in
// capitals stand for what only the reader has, like their own key. What a task says is
// right for the state: nobody is told to give a command that would be refused.
//
// It reads no file and no clock, and knows no device.
package advice
