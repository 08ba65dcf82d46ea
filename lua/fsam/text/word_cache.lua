--- The ids of words that a tokenizer has seen before. Owns: remembering them within bounds, since
-- text without end must not fill the memory. Leaves to others: what a word is, and its ids
-- (bpe.lua, unigram.lua).
local M = {}

local WORDS, BYTES = 100000, 64 -- how many are remembered; the longest of them

local Cache = {}
Cache.__index = Cache

--- A cache over a function.
-- @tparam function ids_of (word) → list of ids
-- @treturn table with the method `get`
function M.new(ids_of)
  return setmetatable({ ids_of = ids_of, known = {}, count = 0 }, Cache)
end

local function look_up(self, word)
  local ids = self.ids_of(word)
  if #word <= BYTES then
    if self.count >= WORDS then
      self.known, self.count = {}, 0
    end
    self.known[word] = ids
    self.count = self.count + 1
  end
  return ids
end

--- The ids of a word.
-- @tparam string word
-- @treturn {number,…} the cache's own list: do not change it
function Cache:get(word)
  return self.known[word] or look_up(self, word)
end

return M
