--- What the tokenizer specs share: the golden file, the small tokenizers, the comparison.

local assert = require("luassert")
local helper = require("spec.helper")
local json = require("fsam.base.json")

local M = {}

local GOLDEN = helper.root .. "/spec/golden/"

--- What spec/golden/make_tokenizer_golden.py wrote.
M.golden = json.decode(helper.read_file(GOLDEN .. "tokenizer_golden.json"))

--- A temporary folder with one small tokenizer.json in it.
-- @tparam string kind "wordpiece" or "bpe"
function M.folder(kind)
  local folder = helper.temp_dir()
  helper.write_file(folder .. "/tokenizer.json",
    helper.read_file(GOLDEN .. "tokenizer_" .. kind .. ".json"))
  return folder
end

local function line_of(ids, token_types)
  local marked = table.concat(token_types):find("1")
    and " | " .. table.concat(token_types, " ") or ""
  return table.concat(ids, " ") .. marked
end

--- Every golden text has the ids that Hugging Face gave it.
function M.agree(tokenizer, name)
  for i, pair in ipairs(M.golden.texts) do
    local second = pair[2] ~= json.null and pair[2] or nil
    assert.are.equal(M.golden.ids[name][i], line_of(tokenizer:encode(pair[1], second)),
      ("text %d: %s"):format(i, json.encode(pair)))
  end
end

return M
