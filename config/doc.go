// Package config reads the engine's configuration file, safemode.yaml, and the
// signer's, signer.yaml. The commented examples, safemode.example.yaml and
// signer.example.yaml, are their manuals: they name every key, and the default of
// each that may be left out. The dialect of YAML is strictyaml's.
//
// It owns names, defaults and rules, and holds values only: it opens no file
// that the configuration names, and no key. What can be seen only with the
// keys in hand (that a live sweep's keys are no test keys) is checked where
// they are loaded. Only cmd imports it.
package config
