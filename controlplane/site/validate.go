package site

import (
	"strings"
)

// validator judges a decoded file. It adds no fault at a path that has one already.
type validator struct {
	file     *File
	name     string
	decoded  []string
	faults   []Fault
	warnings []Fault
}

func (v *validator) fault(path, problem, remedy string) {
	for _, d := range v.decoded {
		if path == d || strings.HasPrefix(d, path+".") || strings.HasPrefix(d, path+"[") {
			return
		}
	}
	v.faults = append(v.faults, v.at(path, problem, remedy))
}

func (v *validator) warn(path, problem, remedy string) {
	v.warnings = append(v.warnings, v.at(path, problem, remedy))
}

func (v *validator) at(path, problem, remedy string) Fault {
	pos := v.file.positions.at(path)
	return Fault{File: v.name, Line: pos.line, Column: pos.column, Path: path, Problem: problem, Remedy: remedy}
}

func (v *validator) validate() {}
