export { default } from "genba-ui/form.js";
