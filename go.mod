module safemode

go 1.26
