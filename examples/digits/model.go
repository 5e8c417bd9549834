package main

import (
	"math"
	"math/rand/v2"
)

// layer is a matrix of weights with a bias for each output, and their gradients.
type layer struct {
	weights, slopes       [][]float64 // by output, then by input
	biases, biasSlopes    []float64
	outputs, outputSlopes []float64
}

func newLayer(inputs, outputs int, random *rand.Rand) *layer {
	l := &layer{
		weights: make([][]float64, outputs), slopes: make([][]float64, outputs),
		biases: make([]float64, outputs), biasSlopes: make([]float64, outputs),
		outputs: make([]float64, outputs), outputSlopes: make([]float64, outputs),
	}
	for o := range outputs {
		l.weights[o], l.slopes[o] = make([]float64, inputs), make([]float64, inputs)
		for i := range inputs {
			l.weights[o][i] = random.NormFloat64() * math.Sqrt(2/float64(inputs))
		}
	}
	return l
}

// forward computes the outputs for one image.
func (l *layer) forward(inputs []float64) []float64 {
	for o, weights := range l.weights {
		sum := l.biases[o]
		for i, x := range inputs {
			sum += weights[i] * x
		}
		l.outputs[o] = sum
	}
	return l.outputs
}

// backward adds to the gradients what outputSlopes make of them.
func (l *layer) backward(inputs []float64) {
	for o, slope := range l.outputSlopes {
		l.biasSlopes[o] += slope
		for i, x := range inputs {
			l.slopes[o][i] += slope * x
		}
	}
}

// descend moves the weights against their gradients, and clears those.
func (l *layer) descend(rate float64) {
	for o := range l.weights {
		l.biases[o] -= rate * l.biasSlopes[o]
		l.biasSlopes[o] = 0
		for i, slope := range l.slopes[o] {
			l.weights[o][i] -= rate * slope
			l.slopes[o][i] = 0
		}
	}
}

// network has one hidden layer of rectified units, and a softmax over the ten digits.
type network struct{ hidden, output *layer }

func newNetwork(units int, random *rand.Rand) *network {
	return &network{hidden: newLayer(pixels, units, random), output: newLayer(units, classes, random)}
}

// scores are the digits' scores for one image; the highest is the network's answer.
func (n *network) scores(im *image) []float64 {
	units := n.hidden.forward(im.pixels[:])
	for i := range units {
		units[i] = max(0, units[i])
	}
	return n.output.forward(units)
}

// train makes one step of gradient descent on a batch, and returns the batch's mean loss before it.
func (n *network) train(batch []*image, rate float64) (loss float64) {
	for _, im := range batch {
		loss += n.learn(im)
	}
	size := float64(len(batch))
	n.hidden.descend(rate / size)
	n.output.descend(rate / size)
	return loss / size
}

// learn adds one image to the gradients, and returns its cross-entropy.
func (n *network) learn(im *image) float64 {
	chances := n.output.outputSlopes // of a softmax and its cross-entropy the slope is the chance, less 1 for the right digit
	softmax(n.scores(im), chances)
	loss := -math.Log(max(chances[im.digit], 1e-300))
	chances[im.digit]--
	n.output.backward(n.hidden.outputs)
	for i, unit := range n.hidden.outputs {
		slope := 0.0
		if unit > 0 {
			for digit, s := range n.output.outputSlopes {
				slope += s * n.output.weights[digit][i]
			}
		}
		n.hidden.outputSlopes[i] = slope
	}
	n.hidden.backward(im.pixels[:])
	return loss
}

func softmax(scores, chances []float64) {
	sum := 0.0
	for i, score := range scores {
		chances[i] = math.Exp(score - scores[highest(scores)])
		sum += chances[i]
	}
	for i := range chances {
		chances[i] /= sum
	}
}

func highest(scores []float64) int {
	best := 0
	for i, score := range scores {
		if score > scores[best] {
			best = i
		}
	}
	return best
}

// accuracy is the share of images that the network recognises.
func (n *network) accuracy(images []image) float64 {
	right := 0
	for i := range images {
		if highest(n.scores(&images[i])) == images[i].digit {
			right++
		}
	}
	return float64(right) / float64(len(images))
}
