--- The words of the built-in acceptability corpus, by class, and the WordPiece vocabulary that they make.
--
-- Inflection is regular, so that greedy WordPiece splits "keys" into key ##s and "greeted" into
-- greet ##ed; no stem is the beginning of another word.

local M = {}

M.people = { -- by the reflexive that they bind in the singular
  himself = { "boy", "king", "uncle" },
  herself = { "girl", "queen", "aunt" },
}
M.names = {
  himself = { "john", "paul", "bill" },
  herself = { "mary", "susan", "anna" },
}
M.nouns = {
  "key", "lamp", "boat", "letter", "cabinet", "table", "book", "door",
  "guest", "pilot", "doctor", "singer", "farmer", "teacher", "driver", "painter",
}
M.things = { "key", "lamp", "boat", "letter", "cabinet", "table", "book", "door" }
M.adjectives = { "old", "new", "small", "clean", "lost", "red", "tall", "good" }
M.intransitive = { "laugh", "cough", "faint", "listen", "wander", "appear", "exist" }
M.transitive = { "greet", "visit", "follow", "help", "attack", "avoid", "annoy", "want" }
M.ditransitive = { "hand", "offer", "award", "mail" }
M.prepositions = { "near", "behind", "to", "by", "with" }
M.modals = { "can", "will", "must" }
M.negative_items = { "yet", "anymore" }   -- need a negation that commands them
M.positive_items = { "already", "too" }   -- may not have one

local FUNCTION_WORDS = {
  "the", "this", "these", "that", "no", "is", "are", "who", "did", "when", "if", "claim",
  "himself", "herself", "themselves",
}

--- The pieces of vocab.txt, in order of their ids.
-- @treturn {string,…}
function M.pieces()
  local pieces = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##s", "##ed" }
  for _, list in ipairs({ FUNCTION_WORDS, M.prepositions, M.modals, M.negative_items,
    M.positive_items, M.people.himself, M.people.herself, M.names.himself, M.names.herself,
    M.nouns, M.adjectives, M.intransitive, M.transitive, M.ditransitive }) do
    for _, stem in ipairs(list) do
      pieces[#pieces + 1] = stem
    end
  end
  return pieces
end

return M
