package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/rs/zerolog"
)

// writeSBOM writes which modules a program is made of, in CycloneDX.
func (r release) writeSBOM(p program) error {
	generator, err := bin.NewGenerator(p.path, bin.WithIncludeStdlib(true), bin.WithVersionOverride("v"+r.version), bin.WithLogger(zerolog.Nop()))
	if err != nil {
		return err
	}
	bom, err := generator.Generate()
	if err != nil {
		return err
	}
	contents, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	// A number that is the same whenever the program is.
	sum := sha256.Sum256(contents)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // RFC 9562 section 5.8
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	bom.Metadata.Timestamp = r.time.Format(time.RFC3339)
	return r.create(fmt.Sprintf("umagate_%s_%s_%s.cdx.json", r.version, p.os, p.arch), func(w io.Writer) error {
		return cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}

// copyFile writes what is in a file.
func copyFile(w io.Writer, path string) error {
	file, err := os.Open(path) //nolint:gosec // the module
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read from
	_, err = io.Copy(w, file)
	return err
}
