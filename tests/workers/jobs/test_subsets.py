"""Parts of a lot of images: of the right size, nested, and never half a patient."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.jobs.arrays import Source
from workers.jobs.subsets import at_most_per_class, first_share, share_by_groups


class TestAtMostPerClass:
    SOURCES = tuple(Source(i, i % 3 and 1, None, str(i)) for i in range(30))  # 10 of class 0, 20 of class 1

    def test_keeps_so_many_of_each_class_in_their_order(self) -> None:
        kept = at_most_per_class(self.SOURCES, 5, rng=np.random.default_rng(0))
        assert Counter(source.label for source in kept) == {0: 5, 1: 5}
        assert [source.id for source in kept] == sorted(source.id for source in kept)

    def test_keeps_all_without_a_limit(self) -> None:
        assert at_most_per_class(self.SOURCES, None, rng=np.random.default_rng(0)) == list(self.SOURCES)

    def test_is_the_same_for_the_same_seed_only(self) -> None:
        first, again, other = (at_most_per_class(self.SOURCES, 5, rng=np.random.default_rng(s)) for s in (1, 1, 2))
        assert first == again != other


class TestFirstShare:
    SOURCES = tuple(Source(i, i % 3 and 1, None, str(i)) for i in range(30))

    def test_keeps_the_first_of_each_class(self) -> None:
        kept = first_share(self.SOURCES, 0.5)
        assert Counter(source.label for source in kept) == {0: 5, 1: 10}
        assert [source.id for source in kept if source.label == 0] == [0, 3, 6, 9, 12]

    def test_keeps_all_of_a_whole_and_one_of_next_to_nothing(self) -> None:
        assert first_share(self.SOURCES, 1.0) == list(self.SOURCES)
        assert Counter(source.label for source in first_share(self.SOURCES, 0.001)) == {0: 1, 1: 1}


class TestShareByGroups:
    SOURCES = tuple(Source(i, i // 100, f"patient {i // 5}" if i % 2 else None, f"{i:03}") for i in range(200))

    def test_keeps_about_that_share_of_each_class_and_no_half_patient(self) -> None:
        kept = share_by_groups(self.SOURCES, 0.2)
        counts = Counter(source.label for source in kept)
        assert all(20 <= counts[label] <= 22 for label in (0, 1))
        ids = {source.id for source in kept}
        for source in kept:
            if source.group is not None:
                assert {other.id for other in self.SOURCES if other.group == source.group} <= ids

    def test_is_the_same_whatever_the_ids_and_the_order(self) -> None:
        moved = [source._replace(id=source.id + 1000) for source in reversed(self.SOURCES)]
        kept = {source.key for source in share_by_groups(self.SOURCES, 0.3)}
        assert {source.key for source in share_by_groups(moved, 0.3)} == kept

    def test_keeps_everything_of_a_whole(self) -> None:
        assert share_by_groups(self.SOURCES, 1.0) == list(self.SOURCES)

    @given(share=st.floats(0.01, 1), larger=st.floats(0.01, 1))
    def test_a_smaller_share_lies_within_a_larger_one(self, share: float, larger: float) -> None:
        share, larger = sorted((share, larger))
        sources = [source._replace(group=None) for source in self.SOURCES]
        assert set(share_by_groups(sources, share)) <= set(share_by_groups(sources, larger))
