--- Tokenizers' folders in the layouts that Transformers 4 and 5 and people write: the ids are those
-- of Transformers 5, also after we saved the tokenizer. spec/golden/make_layouts_golden.py wrote
-- what is expected.

local helper = require("spec.helper")
local json = require("fsam.base.json")
local text = require("fsam.text")

local golden = json.decode(helper.read_file(helper.root .. "/spec/golden/tokenizer_layouts.json"))

describe("a tokenizer's folder", function()
  local folders = {}

  local function new_folder()
    folders[#folders + 1] = helper.temp_dir()
    return folders[#folders]
  end

  after_each(function()
    for _, folder in ipairs(folders) do
      helper.remove_dir(folder)
    end
    folders = {}
  end)

  local function written(layout)
    local folder = new_folder()
    for name, index in pairs(layout.files) do
      helper.write_file(folder .. "/" .. name, golden.contents[index])
    end
    return folder
  end

  local function ids_of(folder)
    local tokenizer, lines = text.load(folder), {}
    for i, sample in ipairs(golden.texts) do
      lines[i] = table.concat((tokenizer:encode(sample)), " ")
    end
    lines[#lines + 1] = table.concat((tokenizer:encode(golden.pair[1], golden.pair[2])), " ")
    return lines, tokenizer
  end

  for name, layout in pairs(golden.layouts) do
    it("has the ids of Transformers: " .. name, function()
      local lines, tokenizer = ids_of(written(layout))
      assert.are.same(layout.ids, lines)
      local copy = new_folder()
      tokenizer:save(copy)
      assert.are.same(layout.ids, (ids_of(copy)))
    end)
  end
end)
