"""What each of several processes takes of a batch: together the batch, and weights by which means make its mean."""

import pytest
import torch

from finetuning.trainers.arguments import batches_at_once
from finetuning.trainers.lengths import LikeLengthSampler
from finetuning.trainers.shares import SHARE, ShareOfBatches, share_of, shared_batches


@pytest.mark.parametrize("processes", [2, 3, 4, 7])
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 16])
def test_the_parts_are_the_batch_and_their_weighted_means_are_its_mean(rows, processes):
    values = torch.arange(rows, dtype=torch.float64) ** 2
    shares = [share_of(range(rows), rank, processes) for rank in range(processes)]
    own = [place for share in shares if share.counts for place in share.places]
    assert own == list(range(rows))
    assert all(share.places for share in shares)  # none has nothing to go through
    assert max(len(share.places) for share in shares) == -(-rows // processes)
    assert {share.even for share in shares} == {rows % processes == 0}
    mean = sum(share.weight * values[share.places].mean() for share in shares) / processes
    assert mean == pytest.approx(values.mean())


def test_small_batches_go_through_together():
    assert [batches_at_once(size, 4) for size in (1, 2, 3, 4, 16)] == [4, 2, 2, 1, 1]


@pytest.mark.parametrize("processes", [2, 3])
def test_each_batch_of_all_processes_has_the_rows_of_one_in_every_epoch(processes):
    lengths = [number * 7 % 13 + 1 for number in range(29)]
    rows = [{"place": place} for place in range(len(lengths))]

    def loader(rank):
        order = LikeLengthSampler(lengths, 4, seed=3)
        return shared_batches(
            rows,
            ShareOfBatches(order, 4, rank=rank, processes=processes),
            lambda given: {"places": [row["place"] for row in given]},
        )

    loaders = [loader(rank) for rank in range(processes)]
    alone = LikeLengthSampler(lengths, 4, seed=3)
    for epoch in (0, 2):
        alone.set_epoch(epoch)
        for each in loaders:
            each.batch_sampler.batch_sampler.set_epoch(epoch)  # as transformers does
        order = list(alone)
        batches = list(zip(*loaders, strict=True))
        assert len(batches) == len(loaders[0]) == 8
        for number, parts in enumerate(batches):
            seen = [place for part in parts if part[SHARE].counts for place in part["places"]]
            assert seen == order[4 * number : 4 * number + 4]


def test_what_was_trained_is_skipped_as_in_one_process():
    from accelerate.data_loader import skip_first_batches

    rows = [{"place": place} for place in range(29)]
    order = LikeLengthSampler([1] * 29, 4, seed=0)
    whole = shared_batches(
        rows,
        ShareOfBatches(order, 4, rank=1, processes=2),
        lambda given: {"places": [row["place"] for row in given]},
    )
    rest = skip_first_batches(whole, 3)
    rest.batch_sampler.batch_sampler.set_epoch(1)
    order.set_epoch(1)
    expected = [batch["places"] for batch in whole][3:]
    assert [batch["places"] for batch in rest] == expected and len(rest) == 5
