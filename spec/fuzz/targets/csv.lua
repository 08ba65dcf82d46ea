--- Comma-separated files of one's own, as classes, as numbers or as several labels.
local bundles = require("spec.fuzz.bundle")
local own_files = require("fsam.data.own_files")

local function options(path, more)
  local o = { given = {}, restore_file = "model", train_file = path, text_column = "text",
    label_column = "label", validation_share = 0.5, split_seed = 1 }
  for name, value in pairs(more) do
    o[name] = value
  end
  return o
end

local WAYS = { {}, { regression_target = true }, { label_separator = ";" },
  { label_columns = { "label", "id" } }, { text_pair_column = "id" } }

return {
  parts = { { name = "train.csv", kind = "bytes" } },
  words = { ",", '"', '""', "\n", "\r\n", "\r", '","', "text,label\n", "id,text,label\n", ";", "\t",
    "1", "0", "-1.5e3", "nan", "0x10", "\239\187\191", "\255\254", "true" },
  seeds = function()
    return {
      { ["train.csv"] = 'id,text,label\n1,"a, ""cat""",yes\n0,"two\nlines",no\n1,c,yes\n0,d,no\n' },
      { ["train.csv"] = "\239\187\191text,label,id\r\na,1,0\r\nb,0,1\r\n\r\nc,1,1\r\nd,0,0" },
      { ["train.csv"] = 'id;text;label\r\n1;"a, b; c";yes\r\n0;d;no\r\n1;e;yes\r\n0;f;no\r\n' },
      { ["train.csv"] = "id,text,label\n1,a,0.5\n1,b,2\n0,c,-1e3\n0,d,4\n" },
    }
  end,
  run = function(bundle, folder)
    local way = bundles.pick(bundle["train.csv"] or "", WAYS)
    local row = own_files.row(options(folder .. "/train.csv", way))
    for _, sample in ipairs(row.built_in.generate().train.samples) do
      assert(type(sample.text) == "string" and sample.label ~= nil and sample.label == sample.label,
        "a wrong sample")
    end
  end,
}
