--- Documents of a tokenizer's folder with a member of a wrong shape: each loads, or ends in one
-- line that begins with the folder's name. Every member of every document is tried with every odd
-- value.

local errors = require("fsam.errors")
local helper = require("spec.helper")
local json = require("fsam.base.json")
local text = require("fsam.text")

local golden = json.decode(helper.read_file(helper.root .. "/spec/golden/tokenizer_layouts.json"))

local ODD = { json.null, true, -1, 1.5, 1e308, 2 ^ 26, "", "x", "\27[31m\n", ("y"):rep(3000), {},
  json.array(), json.array({ 1 }), { a = 1 }, json.array({ json.array() }) }

-- One of each kind of documents.
local LAYOUTS = { "json: post_processor sequence", "json: normalizer NFD lowercase strip",
  "json: post_processor bert", "bpe json: punctuation", "added_tokens.json, special",
  "map with extra tokens", "decoder with gaps", "extra tokens with names", "v5-bert-specials" }

local FEW = 3 -- members of a vocabulary, of merges, that are tried

--- All members of a table and of the tables in it, as pairs of a table and a key.
local function members_of(value, list)
  local count = 0
  for key, item in pairs(value) do
    count = count + 1
    if (type(item) ~= "number" and type(item) ~= "string") or count <= FEW or #list < 40 then
      list[#list + 1] = { value, key }
    end
    if type(item) == "table" and item ~= json.null then
      members_of(item, list)
    end
    if count > 50 then
      break
    end
  end
  return list
end

local function fault_of(ok, err, folder)
  if ok then
    return nil
  elseif not errors.is(err) then
    return "a traceback: " .. tostring(err)
  end
  local line = tostring(err)
  if line:find("%c") or #line > 600 or line:sub(1, #folder) ~= folder then
    return "no clear line: " .. line
  end
end

describe("a tokenizer's document of a wrong shape", function()
  local folder

  before_each(function()
    folder = helper.temp_dir()
  end)

  after_each(function()
    helper.remove_dir(folder)
  end)

  local function try()
    return pcall(function()
      local tokenizer = text.load(folder)
      for _, sample in ipairs(golden.texts) do
        for _, id in ipairs((tokenizer:encode(sample, sample))) do
          assert(type(id) == "number" and id % 1 == 0 and id >= 0 and id < 2 ^ 26)
        end
      end
    end)
  end

  for _, name in ipairs(LAYOUTS) do
    it("ends in one line: " .. name, function()
      local layout, tried = golden.layouts[name], 0
      for document, index in pairs(layout.files) do
        for other, i in pairs(layout.files) do
          helper.write_file(folder .. "/" .. other, golden.contents[i])
        end
        local value = document:find("json$") and json.decode(golden.contents[index], "", true)
        for _, member in ipairs(value and members_of(value, {}) or {}) do
          local kept = member[1][member[2]]
          for _, odd in ipairs(ODD) do
            member[1][member[2]] = odd
            local ok, bytes = pcall(json.encode, value)
            if ok then
              helper.write_file(folder .. "/" .. document, bytes)
              local loaded, err = try()
              local fault = fault_of(loaded, err, folder)
              assert.is_nil(fault, ("%s, %s = %s: %s"):format(document, tostring(member[2]),
                json.encode({ odd }):sub(1, 40), tostring(fault)))
              tried = tried + 1
            end
          end
          member[1][member[2]] = kept
        end
      end
      assert.is_true(tried > 30)
    end)
  end
end)
