export { default } from './Boards.vue';
