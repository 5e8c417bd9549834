"""A trial: trains a network with Keras to read handwritten digits; a callback reports what Keras logs of each epoch.

In a Katib Trial it finds the trial's name by itself. Elsewhere, with `katib-stream up` running:

    KATIB_TRIAL_NAME=my-trial KERAS_BACKEND=jax python digits_keras.py --rate 0.05
"""

from __future__ import annotations

import argparse
from typing import Any

import keras
from sklearn.datasets import load_digits

from katib_stream.keras import KatibCallback


def parse() -> argparse.Namespace:
    """Reads the hyperparameters."""
    parser = argparse.ArgumentParser(description="train a network to read handwritten digits")
    parser.add_argument("--rate", type=float, default=0.05, help="how far a step goes")
    parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--epochs", type=int, default=10, help="passes over all images")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    return parser.parse_args()


def build(options: argparse.Namespace) -> Any:
    """Makes a network with one hidden layer."""
    hidden = keras.layers.Dense(options.hidden, activation="relu")
    model = keras.Sequential([keras.Input((64,)), hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(options.rate), loss, metrics=["accuracy"])
    return model


def main() -> None:
    """Trains, and reports."""
    options = parse()
    keras.utils.set_random_seed(options.seed)
    images, digits = load_digits(return_X_y=True)
    images = images / 16
    build(options).fit(
        images[360:],
        digits[360:],
        validation_data=(images[:360], digits[:360]),
        batch_size=options.batch,
        epochs=options.epochs,
        verbose=2,
        # Everything that Keras logs, under its names; metrics=["val_accuracy"] would report that alone.
        callbacks=[KatibCallback()],
    )


if __name__ == "__main__":
    main()
