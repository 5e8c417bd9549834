package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	pixels  = 8 * 8
	classes = 10
	// heldOut is how many images the model never trains on; accuracy is measured on them.
	heldOut = 360
)

// digitsCSV is a real data set; data/README.md says whose, and under which licence.
//
//go:embed data/digits.csv.gz
var digitsCSV []byte

// image is one handwritten digit.
type image struct {
	pixels [pixels]float64 // 0 (white) to 1 (black), row by row
	digit  int
}

// load reads the images, and splits them the same way every time, so that trials are measured by the same images.
func load() (train, test []image, err error) {
	images, err := readImages(digitsCSV)
	if err != nil {
		return nil, nil, fmt.Errorf("read the data set: %w", err)
	}
	shuffle := rand.New(rand.NewPCG(1998, 64))
	shuffle.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
	return images[heldOut:], images[:heldOut], nil
}

func readImages(compressed []byte) ([]image, error) {
	text, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	lines := csv.NewReader(text)
	lines.FieldsPerRecord = pixels + 1
	records, err := lines.ReadAll()
	if err != nil {
		return nil, err
	}
	images := make([]image, len(records))
	for i, record := range records {
		for j, field := range record[:pixels] {
			value, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			images[i].pixels[j] = float64(value) / 16
		}
		if images[i].digit, err = strconv.Atoi(record[pixels]); err != nil {
			return nil, err
		}
	}
	return images, nil
}
