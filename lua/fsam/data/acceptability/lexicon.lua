--- The words of the built-in acceptability corpus by class, and the WordPiece pieces that they
-- make.
--
-- Owns: the words, and the vocabulary. Leaves to others: choosing words (draw.lua). Inflection is
-- regular, so that greedy WordPiece splits "keys" into key ##s and "greeted" into greet ##ed. A
-- tiny model then learns number and tense once, not once for each word.

local M = {}

--- Stems by class.
M.words = {
  noun = {
    "key", "lamp", "boat", "letter", "cabinet", "table", "book", "door", "window", "ticket",
    "basket", "garden", "bridge", "guest", "pilot", "doctor", "singer", "farmer", "teacher",
    "driver", "painter", "lawyer", "actor", "sailor", "worker", "tailor", "neighbor", "clerk",
  },
  adjective = {
    "old", "new", "small", "clean", "lost", "red", "tall", "good", "strange", "heavy", "quiet",
    "young", "dark", "fine",
  },
  intransitive = {
    "laugh", "cough", "faint", "listen", "wander", "bark", "appear", "exist", "wait", "rest",
  },
  transitive = {
    "greet", "visit", "follow", "help", "attack", "avoid", "annoy", "want", "touch", "need",
  },
  ditransitive = { "hand", "offer", "award", "mail", "grant", "show" },
  preposition = { "near", "behind", "to", "by", "with", "beside" },
  modal = { "can", "will", "must" },
  conjunction = { "when", "if" },
  negative_item = { "yet", "anymore" },  -- need a negation above them
  positive_item = { "already", "too" },  -- may not have a negation above them
  -- What each reflexive can refer to: kin after an article, names without.
  himself_kin = { "boy", "king", "uncle" },
  herself_kin = { "girl", "queen", "aunt" },
  himself_name = { "john", "paul", "bill" },
  herself_name = { "mary", "susan", "anna" },
  reflexive = { "himself", "herself", "themselves" },
}

local CLASSES = {
  "preposition", "modal", "conjunction", "negative_item", "positive_item", "reflexive",
  "himself_kin", "herself_kin", "himself_name", "herself_name", "noun", "adjective",
  "intransitive", "transitive", "ditransitive",
}

--- The vocabulary, in the order of ids from 0, which is [PAD].
-- @treturn {string,…} special pieces, the two suffixes, function words, stems
function M.pieces()
  local pieces = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##s", "##ed",
    "the", "this", "these", "that", "no", "is", "are", "who", "did", "claim",
  }
  for _, class in ipairs(CLASSES) do
    for _, stem in ipairs(M.words[class]) do
      pieces[#pieces + 1] = stem
    end
  end
  return pieces
end

return M
