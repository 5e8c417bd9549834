"""A trial: trains a network with scikit-learn to read handwritten digits, and reports after every epoch.

In a Katib Trial it finds the trial's name by itself. Elsewhere, with `katib-stream up` running:

    KATIB_TRIAL_NAME=my-trial python digits_sklearn.py --rate 0.05
"""

from __future__ import annotations

import argparse

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from katib_stream import report_metrics


def parse() -> argparse.Namespace:
    """Reads the hyperparameters."""
    parser = argparse.ArgumentParser(description="train a network to read handwritten digits")
    parser.add_argument("--rate", type=float, default=0.05, help="how far a step goes")
    parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
    parser.add_argument("--batch", type=int, default=32, help="images of a step")
    parser.add_argument("--epochs", type=int, default=20, help="passes over all images")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random")
    return parser.parse_args()


def main() -> None:
    """Trains, and reports the loss and the accuracy on images that are not trained on."""
    options = parse()
    images, digits = load_digits(return_X_y=True)
    # The same split for all trials, whatever their seed: so they are measured by the same images.
    split = train_test_split(images / 16, digits, test_size=360, random_state=1998, stratify=digits)
    train_images, test_images, train_digits, test_digits = split
    model = MLPClassifier(
        (options.hidden,),
        solver="sgd",
        learning_rate_init=options.rate,
        batch_size=options.batch,
        random_state=options.seed,
    )
    for epoch in range(options.epochs):
        model.partial_fit(train_images, train_digits, classes=range(10))
        loss, accuracy = model.loss_, model.score(test_images, test_digits)
        report_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)
        print(f"epoch={epoch} loss={loss} accuracy={accuracy}", flush=True)
    # The process delivers what it reported when it ends, and waits, as long as it may, until it is in Katib DB.


if __name__ == "__main__":
    main()
