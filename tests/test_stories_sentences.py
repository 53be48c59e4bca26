from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.corpora.stories import split_sentences

HARD = [
    # Titles, initials and abbreviations.
    ["Mr. Allen lost money.", "He left."],
    ["Dr. and Mrs. Tilney came at five p.m. on Sunday.", "They sat down."],
    ["Capt. Frederick Tilney, Esq., bowed.", "Catherine did not."],
    ["Rev. Dr. Collins bowed to Lady Catherine de Bourgh.", "Sir William did, too."],
    ["Mr. and Mrs. J. B. Priestley Jr. were there.", "We danced."],
    ["J. R. R. Tolkien wrote it.", "I read it."],
    ["It was written by C. S. Lewis.", "He lived in Oxford."],
    ["I met J. Edgar Smith.", "He was tall."],
    ["She read the name: A. B.", "It meant nothing to her."],
    ["So am I.", "Darcy laughed."],
    ["“It was plan B.”", "Darcy rose."],
    ["Was it Prof. Lang?", "It was."],
    ["She arrived at 5 p.m.", "Nobody was there."],
    ["They met at St. Mary's at 9 a.m.", "The bells rang."],
    ["The meeting is at 9 a.m. Tuesday.", "Be there."],
    ["The U.S. Army came.", "It left again."],
    ["He lives in the U.S.", "She lives in France."],
    ["He had a Ph.D. in physics.", "It did not help."],
    ["The boat, i.e. the ferry, was late; e.g. on Mondays it never came.", "We waited."],
    ["She had apples, pears, etc. in her bag.", "It was heavy."],
    ["They sold eggs, milk, etc.", "The shop was small."],
    # Numbers.
    ["See Fig. 3 and p. 12, etc., for more.", "It is short."],
    ["He read chap. 4 twice.", "Then he slept."],
    ["No. 7 won.", "No.", "I do not think so."],
    ["On Jan. 5 it snowed.", "By Feb. it was gone."],
    ["It cost 3.50 dollars.", "That was too much."],
    ["Version 2.0 is out.", "Use it."],
    ["It was 1803.", "In 1817 she died."],
    ["The ship sank at 3.", "Everyone was saved."],
    ["He weighed 80 kg.", "She did not."],
    ["1. The cat.", "It slept."],
    # Quotations and who spoke.
    ['"Where are you?" she asked.', "He was gone."],
    ['"Stop!" cried Anna, and she ran.', "Nobody stopped."],
    ['"Stop!"', "She turned and ran."],
    ['"I know.', 'I was there," he said.', "She nodded."],
    ['"I am leaving."', "He shut the door."],
    ["“Are you sure?” asked Tom.", "“Quite sure.”", "They went on."],
    ["“Good heavens!” Mr. Thorpe exclaimed, “what a day!”", "He sat down."],
    ["“Get out!” the old man shouted.", "“Now!”"],
    ["“Get out!”", "The old man shouted it again.", "“Now!”"],
    ["“Get out!”", "She said it twice."],
    ["“Get out!” Miss Thorpe whispered.", "“Now!”"],
    ["“Get out!”", "The old man fell."],
    ["“Why did you come?” Anna asked.", "He did not answer."],
    ["“What?” Mr. Darcy said.", "“When?” said Elizabeth."],
    ["“It is late.”", "Mr. Darcy rose."],
    ["“Really?” I asked.", "“Yes.”"],
    ["“Really?”", "I left."],
    ["“Is that—” She stopped.", "“Never mind.”"],
    ["‘No!’ he said.", "‘Not today.’"],
    ["‘Do you know Dr. Jekyll?’ asked Mr. Utterson.", "Nobody answered."],
    ['"I can\'t," said Lt. Brown.', '"You must!"', "He shook his head."],
    ['"Why?"', '"Because."', '"Because what?"'],
    ['"Hello," she said.', '"Is it you?"', '"Yes."'],
    ['She whispered, "Run!"', "And he ran."],
    ['"Why did you come?" she asked, and then: "Go."', "He went."],
    ['"Oh! my dear Mrs. Allen!" said she.', '"How d\'ye do?"'],
    # Ellipses, runs of marks, brackets, dashes, emphasis, addresses.
    ["She waited ... and nothing came.", "Then it rained."],
    ["She waited...", "Then it rained."],
    ["She waited. . .", "Then it rained."],
    ["He thought… perhaps not.", "He slept…", "Morning came."],
    ["He came in... slowly... and sat.", "Silence."],
    ['"Well... I suppose so," he said.', "She left."],
    ["What?!", "No way!!", "Yes."],
    ["He said (and I quote.) nothing.", "She laughed."],
    ["(It was late.)", "We went home.", "[It creaked.]"],
    ["Then--oh, the horror!--she fell.", "It was over."],
    ["*Was this real?*", "He pinched himself.", "_Yes._"],
    ["Visit www.example.com today.", "It is free."],
]


@pytest.mark.parametrize("sentences", HARD, ids=lambda sentences: sentences[0])
def test_hard_cases(sentences):
    assert list(split_sentences(" ".join(sentences))) == sentences
    assert list(split_sentences("\n".join(" ".join(sentences).split(" ")))) == sentences


def test_a_name_after_a_date_is_taken_for_a_part_of_it():
    """Known to be wrong: nothing but knowledge tells this from ``the U.S. Army came``."""
    assert split_sentences("It was 44 B.C. Caesar died.") == ("It was 44 B.C. Caesar died.",)


def test_an_empty_line_ends_a_sentence_and_ornaments_are_none():
    assert split_sentences("A title\n\nHe went\nhome\n \n* * *\n\n\nThe next day.") == (
        "A title",
        "He went home",
        "The next day.",
    )
    assert split_sentences(" \n ... \n") == ()


PIECES = ["Mr.", "He", "ran", "U.S.", "No.", "7", "?!", '"', "”", "…", "...", "I.", "A.", "(", ")", "--"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_nothing_is_lost_or_moved(pieces):
    text = " ".join(pieces)
    joined = " ".join(split_sentences(text))
    left_over = text[len(joined) :]
    assert text.startswith(joined)
    assert not any(character.isalnum() for character in left_over)
